//! What the kernel says of a block device: its paths, its size, what it is. Reads /sys alone.
//!
//! ```text
//! /sys/block/sda           a SCSI disk: one path
//! /sys/block/dm-0          dm/uuid begins with "mpath-": its paths are in slaves/
//! /sys/block/nvme0n1       an NVMe namespace; the kernel joins its paths itself
//! ```

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::LunError;
use crate::scsi::VENDOR_LIO;

const SECTOR_BYTES: u64 = 512;

/// Which commands a device takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scsi,
    Nvme,
}

/// A whole block device that can be a LUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The kernel's name: `sda`, `dm-0`, `nvme0n1`.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Several paths joined by dm-multipath.
    pub(super) is_multipath: bool,
    pub(super) size_bytes: u64,
    pub(super) block_bytes: u32,
}

/// The kernel's name of the block device behind a path such as `/dev/disk/by-id/wwn-0x6001405`.
pub(super) fn kernel_name(sys: &Path, device: &Path) -> Result<String, LunError> {
    let metadata = device.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LunError::missing(device, "a device is below /dev"),
        _ => LunError::io(device.display(), &error),
    })?;
    if !metadata.file_type().is_block_device() {
        return Err(LunError::misuse(format!("{} is no block device", device.display())));
    }
    // By number: under /dev/mapper stand links, or nodes of their own.
    let number = metadata.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let link = sys.join(format!("dev/block/{major}:{minor}"));
    let target = std::fs::read_link(&link).map_err(|error| LunError::io(link.display(), &error))?;
    let name = target.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| LunError::misuse(format!("{} has no name", device.display())))
}

/// Looks at one device.
///
/// # Errors
///
/// `Misuse` for what is no whole disk; `Unsupported` for a device that takes no reservations.
pub(super) fn block(sys: &Path, name: &str) -> Result<Block, LunError> {
    let place = sys.join("block").join(name);
    if !place.is_dir() {
        let is_part = sys.join("class/block").join(name).join("partition").exists();
        let what = if is_part {
            format!("{name} is a partition; a reservation holds for the whole disk, name that")
        } else {
            format!("{name} is no block device of this machine")
        };
        return Err(LunError::Misuse { what });
    }
    let is_multipath = text(&place.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"));
    let kind = if name.starts_with("nvme") { Kind::Nvme } else { Kind::Scsi };
    let takes_scsi = is_multipath || place.join("device/scsi_level").exists();
    if kind == Kind::Scsi && !takes_scsi {
        return Err(LunError::Unsupported {
            what: format!("{name} is neither a SCSI disk, nor a multipath device, nor NVMe"),
        });
    }
    let number = |file: &str| text(&place.join(file)).and_then(|text| text.parse::<u64>().ok());
    let sectors = number("size").unwrap_or(0);
    Ok(Block {
        name: name.to_owned(),
        kind,
        is_multipath,
        size_bytes: sectors.saturating_mul(SECTOR_BYTES),
        block_bytes: number("queue/logical_block_size")
            .and_then(|bytes| u32::try_from(bytes).ok())
            .unwrap_or(512),
    })
}

/// The kernel's names of the paths to a device, in order. A device without multipath is its own.
pub(super) fn paths(sys: &Path, block: &Block) -> Vec<String> {
    if !block.is_multipath {
        return vec![block.name.clone()];
    }
    names(&sys.join("block").join(&block.name).join("slaves"))
}

/// Every device of this machine that can be a LUN; a path of a multipath device is not named by itself.
pub(super) fn blocks(sys: &Path) -> Vec<Block> {
    let all: Vec<Block> =
        names(&sys.join("block")).iter().filter_map(|name| block(sys, name).ok()).collect();
    let joined: Vec<String> =
        all.iter().filter(|block| block.is_multipath).flat_map(|block| paths(sys, block)).collect();
    all.into_iter().filter(|block| !joined.contains(&block.name)).collect()
}

/// The make of a device: vendor and model.
pub(super) fn make(sys: &Path, block: &Block) -> String {
    let first = paths(sys, block).into_iter().next().unwrap_or_default();
    let device = sys.join("block").join(first).join("device");
    let words = ["vendor", "model"].iter().filter_map(|file| text(&device.join(file)));
    words.collect::<Vec<_>>().join(" ")
}

/// Whether PREEMPT AND ABORT hangs the kernel behind this device for good. Seen with the loopback transport of
/// Linux 6.1's own target, which tells of the abort to a command that waits for it.
pub(super) fn hangs_on_abort(sys: &Path, block: &Block) -> bool {
    paths(sys, block).iter().any(|path| {
        let Ok(device) = sys.join("block").join(path).join("device").canonicalize() else {
            return false;
        };
        let host = device.iter().filter_map(|part| part.to_str()).find(|part| {
            part.strip_prefix("host").is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let driver = |host: &str| text(&sys.join("class/scsi_host").join(host).join("proc_name"));
        host.and_then(driver).is_some_and(|driver| driver == "tcm_loopback")
    })
}

/// Whether a path leads to Linux' own target, which has an answer of its own for who is not registered.
pub(super) fn is_lio(sys: &Path, path: &str) -> bool {
    let vendor = text(&sys.join("block").join(path).join("device/vendor"));
    vendor.is_some_and(|vendor| vendor == VENDOR_LIO)
}

/// What uses a device: other devices on top of it (volumes, partitions with a file system are the kernel's to tell).
pub(super) fn holders(sys: &Path, block: &Block) -> Vec<String> {
    names(&sys.join("block").join(&block.name).join("holders"))
}

/// The stable names of a device: links in `/dev/disk/by-id`, the shortest first.
pub(super) fn links(directory: &Path, name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = names(directory)
        .into_iter()
        .map(|link| directory.join(link))
        .filter(|link| link.canonicalize().is_ok_and(|target| target.ends_with(name)))
        .collect();
    found.sort_by_key(|link| (link.as_os_str().len(), link.clone()));
    found
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn text(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn a_multipath_device_stands_for_all_of_its_paths() {
        let root = tree(&[
            ("block/sda/device/scsi_level", "6\n"),
            ("block/sda/device/vendor", "LIO-ORG \n"),
            ("block/sda/device/model", "lun1    \n"),
            ("block/sdb/device/scsi_level", "6\n"),
            ("block/sdc/device/scsi_level", "6\n"),
            ("block/sdc/size", "2048\n"),
            ("block/sdc/queue/logical_block_size", "4096\n"),
            ("block/dm-0/dm/uuid", "mpath-3600140\n"),
            ("block/dm-0/slaves/sda/size", "1"),
            ("block/dm-0/slaves/sdb/size", "1"),
            ("block/dm-1/dm/uuid", "LVM-abc\n"),
            ("block/nvme0n1/size", "16\n"),
            ("block/loop0/size", "16\n"),
        ]);
        let found = blocks(root.path());
        let names: Vec<&str> = found.iter().map(|block| block.name.as_str()).collect();
        assert_eq!(names, ["dm-0", "nvme0n1", "sdc"]);
        assert_eq!(paths(root.path(), &found[0]), ["sda", "sdb"]);
        assert_eq!(make(root.path(), &found[0]), "LIO-ORG lun1");
        assert_eq!((found[1].kind, found[1].size_bytes), (Kind::Nvme, 8192));
        assert_eq!((found[2].size_bytes, found[2].block_bytes), (1 << 20, 4096));
    }

    #[test]
    fn a_transport_that_hangs_on_an_abort_is_known_by_its_driver() {
        let root = tree(&[
            ("class/scsi_host/host3/proc_name", "tcm_loopback\n"),
            ("class/scsi_host/host4/proc_name", "iscsi_tcp\n"),
            ("devices/host3/target3:0:1/3:0:1:0/scsi_level", "6\n"),
            ("devices/host4/target4:0:1/4:0:1:0/scsi_level", "6\n"),
            ("block/sda/size", "1"),
            ("block/sdb/size", "1"),
        ]);
        for (disk, device) in
            [("sda", "host3/target3:0:1/3:0:1:0"), ("sdb", "host4/target4:0:1/4:0:1:0")]
        {
            let device = root.path().join("devices").join(device);
            std::os::unix::fs::symlink(device, root.path().join("block").join(disk).join("device"))
                .unwrap();
        }
        let hangs = |name| hangs_on_abort(root.path(), &block(root.path(), name).unwrap());
        assert!(hangs("sda") && !hangs("sdb"));
    }

    #[test]
    fn what_is_no_whole_disk_is_refused_with_the_reason() {
        let root = tree(&[
            ("class/block/sda1/partition", "1\n"),
            ("block/loop0/size", "16\n"),
            ("block/dm-1/dm/uuid", "LVM-abc\n"),
        ]);
        let why = |name: &str| block(root.path(), name).unwrap_err().to_string();
        assert!(why("sda1").contains("whole disk"), "{}", why("sda1"));
        assert!(why("sdz").contains("no block device"), "{}", why("sdz"));
        assert!(why("loop0").contains("neither a SCSI disk"), "{}", why("loop0"));
        assert!(why("dm-1").contains("multipath"), "{}", why("dm-1"));
    }
}
