//! Whether a LUN is large enough for what is to stand on it.

use quorate_storage::layout::ALIGNMENT;
use quorate_storage::{DISK_LEASES_BYTES, Layout};

use super::report::{Trial, size};
use super::{Lun, Place};
use crate::config::save_area_mib;

const MIB: u64 = 1 << 20;

/// Its verdict, for a LUN of which so many bytes are not leases; none: its size does not matter, or only that of its
/// parts.
pub(super) fn trial(lun: &Lun, size_bytes: u64) -> Option<Trial> {
    let leases = match &lun.place {
        Place::Disk(_) => DISK_LEASES_BYTES,
        Place::Device(_) | Place::Iscsi(_) if lun.parts().is_empty() => 0,
        Place::Device(_) | Place::Iscsi(_) | Place::Directory(_) => return None,
    };
    let save_area = lun.save_area_mib.unwrap_or_else(save_area_mib);
    let least = |mib: u64| {
        Layout::least_bytes(mib.saturating_mul(MIB)).unwrap_or(u64::MAX).saturating_add(leases)
    };
    let has = size_bytes.saturating_add(leases);
    let is_known = lun.save_area_mib.is_some();
    let (verdict, says) = match (has >= least(save_area), has >= least(0)) {
        (true, _) => {
            let rest = has - least(save_area) + ALIGNMENT;
            ("good", format!("its {} leave {} for a guest", size(has), size(rest)))
        }
        // It may be meant to have none.
        (false, true) if !is_known => (
            "note",
            format!(
                "its {has} bytes are too few for the save area of {save_area} MiB that a LUN has if nothing is said: \
                 give it {} at least, or write a smaller save_area_mib",
                least(save_area)
            ),
        ),
        (false, has_some) => {
            let else_less = match has_some {
                true => ", or write a smaller save_area_mib",
                false => "",
            };
            let needed = if is_known { save_area } else { 0 };
            (
                "bad",
                format!(
                    "it is too small with its {has} bytes: with a save area of {needed} MiB it must have {} at \
                     least{else_less}",
                    least(needed)
                ),
            )
        }
    };
    Some(Trial { trial: "room", verdict, says })
}

#[cfg(test)]
mod tests {
    use super::super::Lun;
    use super::*;
    use crate::Config;

    fn named(settings: &str) -> Lun {
        let text = format!(
            "[cluster]\nname = \"c\"\nid = \"00000000000000ab\"\n\
             [[nodes]]\nname = \"n1\"\naddresses = [\"127.0.0.1:1\"]\n\
             [[luns]]\nname = \"disk1\"\n{settings}\n[[groups]]\nname = \"g\"\nluns = [\"disk1\"]\n\
             [[groups.resources]]\nname = \"r\"\ndriver = \"host\"\n"
        );
        Lun::of(&Config::from_toml_str(&text, "x").unwrap(), "disk1").unwrap()
    }

    #[test]
    fn a_lun_that_is_too_small_is_told_how_large_it_must_be() {
        let disk = "driver = \"disk\"\npath = \"/dev/disk1\"\n";
        let whole = named(disk);
        let without = named(&format!("{disk}save_area_mib = 0"));
        let device = named("driver = \"device\"\npath = \"/dev/sdx\"\nsave_area_mib = 1");
        let at = Lun::at("disk:/dev/disk1").unwrap();
        // Leases of 2 MiB; 64 KiB of beats, and 4 KiB each for the header of a saved state and the least of guests.
        let least = (64 << 20) + (64 << 10) + 4096 * 2;
        for (lun, size_bytes, verdict, says) in [
            (&whole, least, "good", "its 66 MiB leave 4096 bytes"),
            (&whole, least - 4096, "bad", "must have 69279744 at least, or write"),
            (&at, least, "good", ""),
            (&at, least - 4096, "note", "give it 69279744 at least"),
            (&at, 4096, "bad", "save area of 0 MiB it must have 2166784 at least"),
            (&without, 4096, "bad", "must have 2166784 at least"),
            (&without, 69_632, "good", ""),
            (&device, 1 << 20, "bad", "must have 1122304 at least, or write"),
            (&device, 1_122_304, "good", ""),
        ] {
            let found = trial(lun, size_bytes).unwrap();
            assert_eq!(found.verdict, verdict, "{size_bytes}: {found:?}");
            assert!(found.says.contains(says), "{says}: {found:?}");
        }
        let directory = named("driver = \"file\"\npath = \"/srv/x\"");
        assert_eq!(trial(&directory, 0), None);
    }
}
