use super::*;

const CLUSTER: u64 = 0xfeed;
const NODE: u16 = 3;

fn record(text: &str) -> Record {
    Record { kind: 7, bytes: text.into() }
}

fn open(dir: &Path) -> (Log, Recovered) {
    Log::open(dir, CLUSTER, NODE).unwrap()
}

fn log_with(dir: &Path, texts: &[&str]) -> PathBuf {
    let (mut log, _) = open(dir);
    for text in texts {
        log.append(&[record(text)]).unwrap();
    }
    dir.join(LOG_NAME)
}

#[test]
fn records_come_back_after_a_restart_under_the_same_identity() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (mut log, found) = open(&state);
    assert!(found.created && found.records.is_empty() && found.cut.is_none());
    log.append(&[record("a"), record("")]).unwrap();
    log.append(&[]).unwrap();
    log.append(&[record("b")]).unwrap();
    let identity = log.identity();
    drop(log);
    let (log, found) = open(&state);
    assert_eq!(found.records, [record("a"), record(""), record("b")]);
    assert!(!found.created);
    assert_eq!(log.identity(), identity);
}

#[test]
fn a_wiped_directory_gives_a_new_identity() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_with(dir.path(), &["a"]);
    let before = open(dir.path()).0.identity();
    std::fs::remove_file(path).unwrap();
    let (log, found) = open(dir.path());
    assert!(found.created);
    assert_ne!(log.identity(), before);
}

#[test]
fn a_torn_append_is_cut_off_reported_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_with(dir.path(), &["a", "torn"]);
    let length = std::fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let (mut log, found) = open(dir.path());
    assert_eq!(found.records, [record("a")]);
    let cut = found.cut.unwrap();
    assert_eq!(cut.offset + cut.bytes, length - 1);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), cut.offset);
    log.append(&[record("c")]).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).1.records, [record("a"), record("c")]);
}

#[test]
fn damage_before_the_end_is_refused_and_the_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_with(dir.path(), &["a", "b", "c"]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[FILE_HEADER + format::BATCH_HEADER + 5] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = Log::open(dir.path(), CLUSTER, NODE).unwrap_err();
    assert!(matches!(error, LogError::Damaged { offset, .. } if offset == FILE_HEADER as u64));
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("offset 48"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn the_log_of_another_node_cluster_or_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_with(dir.path(), &["a"]);
    let before = std::fs::read(&path).unwrap();
    let error = Log::open(dir.path(), CLUSTER, 4).unwrap_err();
    assert!(matches!(error, LogError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("belongs to node 3"), "{error}");
    let error = Log::open(dir.path(), CLUSTER + 1, NODE).unwrap_err();
    assert!(matches!(error, LogError::Foreign { .. }), "{error}");
    let mut bytes = before.clone();
    bytes[8] = 9;
    std::fs::write(&path, &bytes).unwrap();
    let error = Log::open(dir.path(), CLUSTER, NODE).unwrap_err();
    assert!(matches!(error, LogError::UnknownVersion { found: 9, .. }), "{error}");
    std::fs::write(&path, b"[cluster]\nname = \"this is no log but something else\"\n").unwrap();
    let error = Log::open(dir.path(), CLUSTER, NODE).unwrap_err();
    assert!(matches!(error, LogError::Damaged { offset: 0, .. }), "{error}");
    std::fs::write(&path, b"").unwrap();
    let error = Log::open(dir.path(), CLUSTER, NODE).unwrap_err();
    assert!(matches!(error, LogError::Damaged { offset: 0, .. }), "{error}");
}

#[test]
fn a_second_node_on_the_directory_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let error = Log::open(dir.path(), CLUSTER, NODE).unwrap_err();
    let ours = std::process::id();
    assert!(matches!(error, LogError::AlreadyRunning { pid: Some(pid), .. } if pid == ours));
    assert!(
        error
            .to_string()
            .contains(&format!("already running on {}, pid {ours}", dir.path().display()))
    );
    drop(log);
    open(dir.path());
}

#[test]
fn a_compacted_log_holds_only_what_it_was_given_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    log_with(dir.path(), &["a", "b", "c"]);
    let (mut log, _) = open(dir.path());
    let identity = log.identity();
    let big = Record { kind: 9, bytes: vec![5; COMPACT_BATCH_BYTES + 1] };
    log.compact(&[big.clone(), record("s"), big.clone(), record("t")]).unwrap();
    log.append(&[record("d")]).unwrap();
    assert_eq!(log.length(), std::fs::metadata(dir.path().join(LOG_NAME)).unwrap().len());
    drop(log);
    let (log, found) = open(dir.path());
    assert_eq!(found.records, [big.clone(), record("s"), big, record("t"), record("d")]);
    assert_eq!(log.identity(), identity);
    assert!(!dir.path().join(NEW_NAME).exists());
}

#[test]
fn a_compaction_that_a_crash_ended_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    log_with(dir.path(), &["a"]);
    std::fs::write(dir.path().join(NEW_NAME), b"half a file").unwrap();
    assert_eq!(open(dir.path()).1.records, [record("a")]);
    assert!(!dir.path().join(NEW_NAME).exists());
}

#[test]
fn an_append_over_the_limit_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let half = Record { kind: 1, bytes: vec![0; APPEND_BYTES_MAX / 2] };
    assert!(matches!(log.append(&[half.clone(), half]), Err(LogError::TooLarge { .. })));
    log.append(&[record("a")]).unwrap();
}

#[test]
fn a_missing_parent_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no").join("state");
    let error = Log::open(&missing, CLUSTER, NODE).unwrap_err();
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
}

/// The directory of a small file system that this process runs on; set for the inner run only.
const SMALL_DISK: &str = "QUORATE_TEST_SMALL_DISK";

#[test]
fn a_full_disk_refuses_the_append_and_leaves_the_log_usable() {
    if let Some(dir) = std::env::var_os(SMALL_DISK) {
        return fill_the_disk(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let outcome = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "log::tests::a_full_disk_refuses_the_append_and_leaves_the_log_usable",
        ])
        .env(SMALL_DISK, dir.path())
        .output();
    match outcome {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("1 passed"), "the inner run did not find the test: {text}");
        }
        Ok(output) if output.status.code() == Some(101) => {
            panic!(
                "{}",
                String::from_utf8_lossy(&output.stdout).into_owned()
                    + &String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output) => eprintln!(
            "skipped: a small file system cannot be mounted here: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("skipped: unshare is missing: {error}"),
    }
}

fn fill_the_disk(dir: &Path) {
    let (mut log, _) = open(dir);
    let block = Record { kind: 1, bytes: vec![0xa5; 30_000] };
    let mut kept = 0;
    let error = loop {
        match log.append(std::slice::from_ref(&block)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "the file system is not small");
    };
    assert!(kept > 3, "{kept}");
    assert!(matches!(error, LogError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains(dir.join(LOG_NAME).to_str().unwrap()), "{error}");
    let full = log.compact(&vec![block.clone(); kept]).unwrap_err();
    assert!(matches!(full, LogError::DiskFull { .. }), "{full}");
    log.append(&[record("still usable")]).unwrap();
    log.compact(&[record("compacted")]).unwrap();
    log.append(&[record("after")]).unwrap();
    drop(log);
    let (_, found) = open(dir);
    assert!(found.cut.is_none());
    assert_eq!(found.records, [record("compacted"), record("after")]);
}
