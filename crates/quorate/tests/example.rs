//! The example survives the death of its peer: three processes, and kill -9.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// One node's process, killed with the test.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(folder: &Path, node: &str) -> Self {
        let mut child = Command::new(example())
            .arg(folder.join("cluster.toml"))
            .arg(node)
            .arg(folder.join(node))
            .arg(folder.join("cluster.key"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo has built the example beside this test");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next count that it tells of, unless another process tells of one first.
    fn count(&self, wait: Duration) -> Option<u64> {
        let end = Instant::now() + wait;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            if let Some(count) = line.strip_prefix("count ") {
                return count.parse().ok();
            }
        }
        None
    }
}

fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().nth(2).expect("it stands in target/PROFILE/deps");
    folder.join("examples/ha_counter")
}

/// The place of the process that counts, and its count.
fn wait_for_count(processes: &[Process]) -> (usize, u64) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for (place, process) in processes.iter().enumerate() {
            if let Some(count) = process.count(Duration::from_millis(20)) {
                return (place, count);
            }
        }
    }
    panic!("nobody counts within {PATIENCE:?}");
}

fn cluster(folder: &Path) {
    // Held together until all are drawn, so that none is drawn twice.
    let held: Vec<(TcpListener, UdpSocket)> = std::iter::repeat_with(|| {
        let stream = TcpListener::bind("127.0.0.1:0")?;
        let datagram = UdpSocket::bind(stream.local_addr()?)?;
        std::io::Result::Ok((stream, datagram))
    })
    .filter_map(Result::ok)
    .take(3)
    .collect();
    let nodes: String = held
        .iter()
        .enumerate()
        .map(|(place, (stream, _))| {
            let address = stream.local_addr().expect("it is bound");
            format!("[[nodes]]\nname = \"n{}\"\naddresses = [\"{address}\"]\n", place + 1)
        })
        .collect();
    let lun = folder.join("lun");
    std::fs::create_dir(&lun).expect("the folder is ours");
    let text = format!(
        "[cluster]\nname = \"example\"\nid = \"00000000000000e7\"\n[timing]\nprofile = \"fast\"\n{nodes}\
         [[luns]]\nname = \"store\"\ndriver = \"file\"\npath = \"{}\"\n\
         [[groups]]\nname = \"counting\"\nluns = [\"store\"]\n\
         [[groups.resources]]\nname = \"counter\"\ndriver = \"host\"\n",
        lun.display()
    );
    std::fs::write(folder.join("cluster.toml"), text).expect("the folder is ours");
    let key = quorate::ClusterKey::generate().expect("the system gives randomness");
    key.write_new_file(&folder.join("cluster.key")).expect("the folder is ours");
}

#[test]
fn the_counter_goes_on_when_its_node_is_killed() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    cluster(folder.path());
    let mut processes: Vec<Process> =
        ["n1", "n2", "n3"].iter().map(|node| Process::start(folder.path(), node)).collect();
    let (owner, before) = wait_for_count(&processes);

    drop(processes.remove(owner));
    let (_, after) = wait_for_count(&processes);
    assert!(after > before, "it counts on from {before}, not from {after}");
}
