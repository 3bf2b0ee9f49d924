//! The NBD server, on a LUN in a directory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::BLOCK;
use crate::common::nbd::{Client, DISCONNECT, FUA, READ, TRIM, WRITE};
use parking_lot::Mutex;
use quorate_storage::{
    Capabilities, EventQueue, FileLun, FileOptions, Lun, LunError, LunEvent, NbdOptions, NbdServer,
    ReservationKey, Reservations, WriteHook, WriteRecord,
};

const SIZE: u64 = 8 << 20;
/// The guest's part begins behind the first MiB and leaves the last.
const OFFSET: u64 = 1 << 20;
const LENGTH: u64 = 6 << 20;
const KEY_A: ReservationKey = ReservationKey(0xa1);
const KEY_B: ReservationKey = ReservationKey(0xb1);

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn lun(&self) -> Arc<FileLun> {
        let directory = self.directory.path().join("lun");
        let options =
            FileOptions { directory, size_bytes: Some(SIZE), timeout: Duration::from_secs(10) };
        Arc::new(FileLun::open(options).unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("nbd.sock")
    }

    fn options(&self) -> NbdOptions {
        NbdOptions {
            socket: self.socket(),
            offset: OFFSET,
            length: LENGTH,
            hook: None,
            patience: Duration::ZERO,
        }
    }

    fn serve(&self, lun: &Arc<FileLun>) -> NbdServer {
        NbdServer::start(Arc::clone(lun) as Arc<dyn Lun>, self.options()).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("lun/data")).unwrap()
    }
}

#[test]
fn a_guest_sees_its_range_alone_and_no_discard() {
    let bench = Bench::new();
    let lun = bench.lun();
    let _server = bench.serve(&lun);
    let mut client = Client::connect(&bench.socket());
    assert_eq!(client.size, LENGTH);
    assert_eq!(client.flags, 1 | 4 | 8, "flags, flush, FUA and nothing else");
    assert_eq!(client.blocks, Some([512, 4096, 32 << 20]));
    assert_eq!(client.write(0, &[1; BLOCK], 0), 0);
    assert_eq!(client.write(LENGTH - 512, &[2; BLOCK], FUA), 0);
    assert_eq!(client.flush(), 0);
    assert_eq!(client.read(0, 512).unwrap(), [1; BLOCK]);
    let bytes = bench.bytes();
    assert_eq!(bytes[OFFSET as usize..][..BLOCK], [1; BLOCK]);
    assert_eq!(bytes[(OFFSET + LENGTH) as usize - BLOCK..][..BLOCK], [2; BLOCK]);
    assert!(
        bytes[..OFFSET as usize]
            .iter()
            .chain(&bytes[(OFFSET + LENGTH) as usize..])
            .all(|byte| *byte == 0)
    );
    client.send(DISCONNECT, 0, 0, 0, 0, &[]);
    assert!(client.is_hung_up());
}

#[test]
fn requests_off_the_range_off_the_blocks_or_not_offered_are_invalid_and_the_connection_lives() {
    let bench = Bench::new();
    let lun = bench.lun();
    let _server = bench.serve(&lun);
    let mut client = Client::connect(&bench.socket());
    assert_eq!(client.write(LENGTH, &[1; BLOCK], 0), 22);
    assert_eq!(client.write(u64::MAX - 100, &[1; BLOCK], 0), 22);
    assert_eq!(client.write(100, &[1; BLOCK], 0), 22);
    assert_eq!(client.read(LENGTH - 512, 1024), Err(22));
    assert_eq!(client.read(0, 0), Err(22));
    client.send(TRIM, 0, 5, 0, 512, &[]);
    assert_eq!(client.reply(), (22, 5));
    assert_eq!(client.write(0, &[1; BLOCK], 0), 0);
    assert!(bench.bytes()[..OFFSET as usize].iter().all(|byte| *byte == 0));
}

#[test]
fn many_requests_may_be_under_way_and_each_is_answered_once() {
    let bench = Bench::new();
    let lun = bench.lun();
    let _server = bench.serve(&lun);
    let mut client = Client::connect(&bench.socket());
    for cookie in 0..500_u64 {
        client.send(WRITE, 0, cookie, cookie * 4096, 4096, &vec![cookie as u8; 4096]);
    }
    let mut cookies = Vec::new();
    for _ in 0..500 {
        let (error, cookie) = client.reply();
        assert_eq!(error, 0);
        cookies.push(cookie);
    }
    cookies.sort_unstable();
    assert!(cookies.into_iter().eq(0..500));
    for cookie in 0..500_u64 {
        assert_eq!(client.read(cookie * 4096, 4096).unwrap(), vec![cookie as u8; 4096]);
    }
}

#[test]
fn every_way_to_shake_hands_works() {
    let bench = Bench::new();
    let lun = bench.lun();
    let _server = bench.serve(&lun);
    let mut client = Client::greet(&bench.socket());
    client.option(99, b"?");
    assert_eq!(client.option_reply().0, (1 << 31) | 1);
    client.option(7, b"x");
    assert_eq!(client.option_reply().0, (1 << 31) | 3);
    client.option(3, b"");
    assert_eq!(client.option_reply(), (2, vec![0; 4]));
    assert_eq!(client.option_reply().0, 1);
    client.option(6, &[0; 6]);
    assert_eq!(
        [client.option_reply().0, client.option_reply().0, client.option_reply().0],
        [3, 3, 1]
    );
    client.option(1, b"any name");
    assert_eq!(client.take(10)[..8], LENGTH.to_be_bytes());
    assert_eq!(client.write(0, &[3; BLOCK], 0), 0);
    let mut leaving = Client::greet(&bench.socket());
    leaving.option(2, b"");
    assert_eq!(leaving.option_reply().0, 1);
    assert!(leaving.is_hung_up());
}

#[test]
fn a_client_that_talks_nonsense_loses_its_connection_and_nobody_else_does() {
    let bench = Bench::new();
    let lun = bench.lun();
    let _server = bench.serve(&lun);
    let mut good = Client::connect(&bench.socket());
    let mut raw = Client::greet(&bench.socket());
    raw.stream.write_all(&[0xff; 64]).unwrap();
    assert!(raw.is_hung_up());
    let mut long = Client::greet(&bench.socket());
    long.stream.write_all(b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff").unwrap();
    assert!(long.is_hung_up());
    let mut late = Client::connect(&bench.socket());
    late.stream.write_all(&[0xff; 28]).unwrap();
    assert!(late.is_hung_up());
    let mut greedy = Client::connect(&bench.socket());
    greedy.send(READ, 0, 0, 0, (32 << 20) + 512, &[]);
    assert!(greedy.is_hung_up());
    assert_eq!(good.write(0, &[1; BLOCK], 0), 0);
}

#[test]
fn a_refused_write_is_eperm_and_an_event_and_the_hook_sees_it() {
    let bench = Bench::new();
    let (a, b) = (bench.lun(), bench.lun());
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let list = Arc::clone(&seen);
    let mut options = bench.options();
    options.hook = Some(WriteHook::new(move |record: &WriteRecord<'_>| {
        let refused = matches!(record.outcome, Err(LunError::ReservationConflict));
        list.lock().push((record.offset, record.data.len(), record.data[0], refused));
    }));
    let _server = NbdServer::start(Arc::clone(&a) as Arc<dyn Lun>, options).unwrap();
    let mut client = Client::connect(&bench.socket());
    assert_eq!(client.write(512, &[1; BLOCK], 0), 0);
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    assert_eq!(client.write(1024, &[2; BLOCK], 0), 1);
    assert_eq!(a.events().pop(), Some(LunEvent::ReservationRefused));
    assert_eq!(client.flush(), 1);
    assert_eq!(client.read(1024, 512).unwrap(), [0; BLOCK]);
    assert_eq!(*seen.lock(), [(512, BLOCK, 1, false), (1024, BLOCK, 2, true)]);
}

#[test]
fn after_stop_has_returned_no_write_is_issued() {
    for _ in 0..10 {
        let bench = Bench::new();
        let lun = bench.lun();
        let (stopped, late, count) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let shared = Arc::new((stopped, late, count));
        let theirs = Arc::clone(&shared);
        let mut options = bench.options();
        options.hook = Some(WriteHook::new(move |_: &WriteRecord<'_>| {
            theirs.2.fetch_add(1, Ordering::SeqCst);
            theirs.1.fetch_or(theirs.0.load(Ordering::SeqCst), Ordering::SeqCst);
        }));
        let server = NbdServer::start(lun as Arc<dyn Lun>, options).unwrap();
        let mut client = Client::connect(&bench.socket());
        // Nobody reads the replies: a client that hangs must not hold up the stop.
        let feeder = std::thread::spawn(move || {
            let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
            bytes.extend([0, 0, 0, 1]);
            bytes.extend([0; 16]);
            bytes.extend(4096_u32.to_be_bytes());
            bytes.extend([1; 4096]);
            while client.stream.write_all(&bytes).is_ok() {}
        });
        let end = Instant::now() + Duration::from_secs(10);
        while shared.2.load(Ordering::SeqCst) < 20 {
            assert!(Instant::now() < end, "the stream does not flow");
            std::thread::yield_now();
        }
        server.stop();
        shared.0.store(true, Ordering::SeqCst);
        let at_stop = shared.2.load(Ordering::SeqCst);
        feeder.join().unwrap();
        server.stop();
        drop(server);
        assert_eq!(
            (shared.1.load(Ordering::SeqCst), shared.2.load(Ordering::SeqCst)),
            (false, at_stop)
        );
        assert!(!bench.socket().exists());
    }
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_served_one_is_not() {
    let bench = Bench::new();
    let lun = bench.lun();
    drop(std::os::unix::net::UnixListener::bind(bench.socket()).unwrap());
    let server = bench.serve(&lun);
    let refused = NbdServer::start(Arc::clone(&lun) as Arc<dyn Lun>, bench.options());
    assert!(
        matches!(&refused, Err(LunError::Misuse { what }) if what.contains("another")),
        "{refused:?}"
    );
    assert_eq!(Client::connect(&bench.socket()).write(0, &[1; BLOCK], 0), 0);
    drop(server);
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions())
    };
    let _again = bench.serve(&lun);
    assert_eq!(mode(&bench.socket()) & 0o777, 0o600);
}

#[test]
fn a_range_that_is_not_on_the_lun_is_misuse() {
    let bench = Bench::new();
    let lun = bench.lun();
    for (offset, length) in [(SIZE, 512), (0, SIZE + 512), (1, 512), (0, 0), (0, 100)] {
        let options = NbdOptions { offset, length, ..bench.options() };
        let refused = NbdServer::start(Arc::clone(&lun) as Arc<dyn Lun>, options);
        assert!(matches!(refused, Err(LunError::Misuse { .. })), "{offset} {length}: {refused:?}");
    }
    let socket = bench.directory.path().join("x".repeat(200));
    let refused = NbdServer::start(lun as Arc<dyn Lun>, NbdOptions { socket, ..bench.options() });
    assert!(matches!(refused, Err(LunError::Misuse { .. })), "{refused:?}");
}

/// QEMU's own client, where it is installed.
#[test]
fn qemu_io_writes_reads_and_shows_a_refusal_as_not_permitted() {
    let bench = Bench::new();
    let (a, b) = (bench.lun(), bench.lun());
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    let _server = bench.serve(&a);
    let address = format!("nbd+unix:///?socket={}", bench.socket().display());
    let run = |command: &str| {
        let arguments = ["-f", "raw", "-c", command, address.as_str()];
        let output = Command::new("qemu-io").args(arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    let Some(written) = run("write -P 0x5a 4k 64k") else {
        eprintln!("not run: apt-get install qemu-utils");
        return;
    };
    assert!(written.contains("wrote 65536/65536"), "{written}");
    let read = run("read -P 0x5a 4k 64k").unwrap();
    assert!(read.contains("read 65536/65536") && !read.contains("failed"), "{read}");
    assert_eq!(bench.bytes()[OFFSET as usize + 4096..][..64 << 10], [0x5a; 64 << 10]);
    b.register(KEY_B).unwrap();
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    let refused = run("write -P 0x5b 4k 64k").unwrap();
    assert!(refused.contains("Operation not permitted"), "{refused}");
    let zeroes = run("write -z 4k 4k").unwrap();
    assert!(zeroes.contains("Operation not permitted"), "{zeroes}");
    assert_eq!(bench.bytes()[OFFSET as usize + 4096..][..64 << 10], [0x5a; 64 << 10]);
}

/// A LUN that answers writes with these errors, one after the other, before it takes them.
#[derive(Debug)]
struct Moody {
    lun: Arc<FileLun>,
    errors: Mutex<Vec<LunError>>,
}

impl Lun for Moody {
    fn capabilities(&self) -> Capabilities {
        self.lun.capabilities()
    }

    fn register(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.register(key)
    }

    fn unregister(&self) -> Result<(), LunError> {
        self.lun.unregister()
    }

    fn read_keys(&self) -> Result<Reservations, LunError> {
        self.lun.read_keys()
    }

    fn reserve(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.reserve(key)
    }

    fn release(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.release(key)
    }

    fn preempt(&self, own: ReservationKey, victim: ReservationKey) -> Result<(), LunError> {
        self.lun.preempt(own, victim)
    }

    fn preempt_and_abort(
        &self,
        own: ReservationKey,
        victim: ReservationKey,
    ) -> Result<(), LunError> {
        self.lun.preempt_and_abort(own, victim)
    }

    fn clear(&self, key: ReservationKey) -> Result<(), LunError> {
        self.lun.clear(key)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LunError> {
        self.lun.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), LunError> {
        let error = self.errors.lock().pop();
        error.map_or_else(|| self.lun.write_at(offset, data), Err)
    }

    fn flush(&self) -> Result<(), LunError> {
        self.lun.flush()
    }

    fn events(&self) -> Arc<EventQueue> {
        self.lun.events()
    }
}

/// The guest's write is answered when the path is back; what a target that is there does not answer fails.
#[test]
fn a_request_waits_for_its_path_and_not_for_a_target_that_answers_nothing() {
    let bench = Bench::new();
    let moody = Arc::new(Moody { lun: bench.lun(), errors: Mutex::default() });
    let options = NbdOptions { patience: Duration::from_secs(3600), ..bench.options() };
    let server = NbdServer::start(Arc::clone(&moody) as Arc<dyn Lun>, options).unwrap();
    let mut client = Client::connect(&bench.socket());
    let lost = || LunError::PathLost { why: "cut".to_owned() };
    let late = || LunError::TimedOut { what: "write".to_owned(), after: Duration::ZERO };
    let mut write = |errors: Vec<LunError>| {
        *moody.errors.lock() = errors;
        client.write(0, &[1; BLOCK], 0)
    };
    assert_eq!(write((0..20).map(|_| lost()).collect()), 0);
    assert_eq!(write(vec![LunError::NotRegistered, lost(), late(), lost(), late()]), 0);
    assert_eq!(write(vec![lost(), late(), late(), late()]), 5, "EIO");
    assert_eq!(moody.errors.lock().len(), 1, "it was not sent again");
    // Whoever waits without end is let go when the server stops.
    *moody.errors.lock() = (0..1_000_000).map(|_| lost()).collect();
    client.send(WRITE, 0, 7, 0, BLOCK as u32, &[2; BLOCK]);
    let end = Instant::now() + Duration::from_secs(20);
    while moody.errors.lock().len() == 1_000_000 {
        assert!(Instant::now() < end, "it is not tried");
        std::thread::yield_now();
    }
    server.stop();
    let left = moody.errors.lock().len();
    assert!(left > 0 && bench.bytes()[OFFSET as usize] == 1, "and nothing of it was written");
}
