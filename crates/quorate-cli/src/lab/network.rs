//! The lab's networks: each host in a network namespace, joined by two switches.
//!
//! One switch carries the heartbeats, the other the storage, so that one can be cut while the other
//! lives. A cut is what a pulled cable is: the port of the switch goes down.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Moment;
use super::error::{LabError, command, run, succeeded};
use super::ground::Ground;
use super::wait::until;

/// Where the nodes listen, when each has a network of its own.
const NODE_PORT: u16 = 7400;
/// The name of the host that serves the LUN.
pub(super) const STORAGE: &str = "san";

/// One of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// What the nodes say to each other.
    Heartbeat,
    /// What they say to the LUN.
    Storage,
}

impl Wire {
    const BOTH: [Wire; 2] = [Wire::Heartbeat, Wire::Storage];

    fn switch(self) -> &'static str {
        match self {
            Wire::Heartbeat => "beat",
            Wire::Storage => "disk",
        }
    }

    fn address(self, host: u8) -> Ipv4Addr {
        match self {
            Wire::Heartbeat => Ipv4Addr::new(10, 77, 1, host),
            Wire::Storage => Ipv4Addr::new(10, 77, 2, host),
        }
    }
}

/// The networks, with every host of the lab on them.
#[derive(Debug)]
pub(super) struct Network {
    ground: Ground,
    /// The nodes, then the storage.
    hosts: Vec<Host>,
}

#[derive(Debug)]
struct Host {
    name: String,
    number: u8,
    /// The port on its heartbeat address, or on the storage's address.
    port: u16,
}

impl Network {
    /// Builds both networks with these nodes and the storage on them.
    ///
    /// # Errors
    /// What `ip` said, or that no port is free.
    pub(super) fn build(ground: Ground, nodes: &[String]) -> Result<Self, LabError> {
        let names = nodes.iter().map(String::as_str).chain([STORAGE]);
        let mut hosts = Vec::new();
        for (name, number) in names.zip(1..) {
            let port = match (&ground, name) {
                (Ground::Namespaces, STORAGE) => 3260,
                (Ground::Namespaces, _) => NODE_PORT,
                (Ground::Loopback { .. }, _) => free_port(loopback(number))?,
            };
            hosts.push(Host { name: name.into(), number, port });
        }
        let network = Self { ground, hosts };
        if network.can_cut() {
            network.connect()?;
        }
        Ok(network)
    }

    /// Whether a host can be cut off.
    #[must_use]
    pub(super) fn can_cut(&self) -> bool {
        self.ground == Ground::Namespaces
    }

    /// Where a node listens for heartbeats, or where the storage serves, as `address:port`.
    #[must_use]
    pub(super) fn listens_at(&self, host: &str) -> String {
        let host = self.host(host);
        let wire = if host.name == STORAGE { Wire::Storage } else { Wire::Heartbeat };
        let address = match self.ground {
            Ground::Namespaces => wire.address(host.number),
            Ground::Loopback { .. } => loopback(host.number),
        };
        format!("{address}:{}", host.port)
    }

    /// A command that runs `program` on a host and dies with the thread that spawns it.
    #[must_use]
    pub(super) fn command(&self, host: &str, program: &str) -> Command {
        let file = super::error::find(program).unwrap_or_else(|| program.into());
        let mut command = match self.ground {
            Ground::Namespaces => {
                let mut command = command("nsenter");
                command.arg(format!("--net={}", namespace(host).display())).arg("setpriv");
                command
            }
            Ground::Loopback { .. } => command("setpriv"),
        };
        command.args(["--pdeathsig", "KILL"]).arg(file).stdin(Stdio::null());
        command
    }

    /// Pulls a host's cable at the switch.
    ///
    /// # Errors
    /// What `ip` said.
    ///
    /// # Panics
    /// On loopback, where nothing can be cut: ask [`Network::can_cut`] first.
    pub(super) fn cut(&self, host: &str, wire: Wire) -> Result<Moment, LabError> {
        self.set_port(host, wire, "down")
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// What `ip` said.
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub(super) fn heal(&self, host: &str, wire: Wire) -> Result<Moment, LabError> {
        self.set_port(host, wire, "up")
    }

    /// Kills (SIGKILL) whatever runs on a host, all at once, and waits until it is gone. The host's
    /// network goes on, so its kernel closes the connections. On loopback, `root` and what descends
    /// from it is what runs there.
    ///
    /// Gives the moment of the first kill.
    ///
    /// # Errors
    /// [`LabError::TooLate`] when something does not die.
    pub(super) fn kill_host(&self, host: &str, root: u32) -> Result<Moment, LabError> {
        let at = Moment::now();
        let mut doomed = self.processes(host, root);
        until(&format!("the end of everything on {host}"), Duration::from_secs(10), || {
            for pid in &doomed {
                // It may have died by itself.
                let _ = kill_process(*pid, Signal::KILL);
            }
            doomed = self.processes(host, root);
            doomed.is_empty().then_some(())
        })?;
        Ok(at)
    }

    /// Sends a signal to whatever runs on a host.
    ///
    /// Gives the moment before the first.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn signal_host(
        &self,
        host: &str,
        root: u32,
        signal: Signal,
    ) -> Result<Moment, LabError> {
        let at = Moment::now();
        for pid in self.processes(host, root) {
            kill_process(pid, signal)
                .map_err(|error| LabError::system(format!("cannot signal {host}"), error.into()))?;
        }
        Ok(at)
    }

    /// Kills the processes of a host that name `program` in their command lines, and waits until
    /// they are gone; the host's `root` process is spared.
    ///
    /// Gives the moment of the kill.
    ///
    /// # Errors
    /// [`LabError::Failed`] when there is none, [`LabError::TooLate`] when it does not die.
    pub(super) fn kill_program(
        &self,
        host: &str,
        root: u32,
        program: &str,
    ) -> Result<Moment, LabError> {
        let spared = i32::try_from(root).ok().and_then(Pid::from_raw);
        let find = || {
            let mut found = self.processes(host, root);
            found.retain(|pid| Some(*pid) != spared && is_running(*pid, program));
            found
        };
        let doomed = find();
        let at = Moment::now();
        for pid in &doomed {
            kill_process(*pid, Signal::KILL).map_err(|error| {
                LabError::system(format!("cannot kill {program}"), error.into())
            })?;
        }
        if doomed.is_empty() {
            let said = "it does not run there".into();
            return Err(LabError::Failed { what: format!("killing {program} on {host}"), said });
        }
        until(&format!("the end of {program} on {host}"), Duration::from_secs(10), || {
            find().iter().all(|pid| !doomed.contains(pid)).then_some(at)
        })
    }

    /// The live processes of a host.
    fn processes(&self, host: &str, root: u32) -> Vec<Pid> {
        let live = process_ids().into_iter().filter(|&pid| parent_of_live(pid).is_some());
        let found: Vec<i32> = match self.ground {
            Ground::Namespaces => {
                let Ok(home) = fs::metadata(namespace(host)) else { return vec![] };
                let is_home = |pid: &i32| {
                    fs::metadata(format!("/proc/{pid}/ns/net"))
                        .is_ok_and(|it| (it.dev(), it.ino()) == (home.dev(), home.ino()))
                };
                live.filter(is_home).collect()
            }
            Ground::Loopback { .. } => {
                let root = i32::try_from(root).unwrap_or_default();
                let descends = |&pid: &i32| {
                    let mut ancestor = Some(pid);
                    while let Some(id) = ancestor {
                        if id == root {
                            return true;
                        }
                        ancestor = parent_of_live(id).filter(|&parent| parent > 1);
                    }
                    false
                };
                live.filter(descends).collect()
            }
        };
        found.into_iter().filter_map(Pid::from_raw).collect()
    }

    fn connect(&self) -> Result<(), LabError> {
        let mut lines = String::from("link set lo up\n");
        for wire in Wire::BOTH {
            let switch = wire.switch();
            lines += &format!("link add {switch} type bridge\nlink set {switch} up\n");
        }
        for Host { name, .. } in &self.hosts {
            lines += &format!("netns add {name}\n");
            for wire in Wire::BOTH {
                let (switch, port) = (wire.switch(), port_name(wire, name));
                lines += &format!("link add {port} type veth peer name {switch} netns {name}\n");
                lines += &format!("link set {port} master {switch} up\n");
            }
        }
        batch(None, &lines)?;
        for Host { name, number, .. } in &self.hosts {
            let mut lines = String::from("link set lo up\n");
            for wire in Wire::BOTH {
                let (switch, address) = (wire.switch(), wire.address(*number));
                lines += &format!("addr add {address}/24 dev {switch}\nlink set {switch} up\n");
            }
            batch(Some(name), &lines)?;
        }
        Ok(())
    }

    fn set_port(&self, host: &str, wire: Wire, state: &str) -> Result<Moment, LabError> {
        assert!(self.can_cut(), "loopback has no ports");
        run(command("ip").args(["link", "set", &port_name(wire, host), state]))?;
        Ok(Moment::now())
    }

    fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).expect("the lab made its hosts")
    }
}

fn port_name(wire: Wire, host: &str) -> String {
    format!("{}-{host}", wire.switch())
}

fn namespace(host: &str) -> PathBuf {
    PathBuf::from(format!("/run/netns/{host}"))
}

/// Not 127.0.0.1, on which every program's outgoing connections take ports.
fn loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, number)
}

/// A port that is free for both datagrams and streams.
fn free_port(address: Ipv4Addr) -> Result<u16, LabError> {
    let what = || format!("no free port on {address}");
    for _ in 0..64 {
        let stream = TcpListener::bind((address, 0)).map_err(|e| LabError::system(what(), e))?;
        let port = stream.local_addr().map_err(|e| LabError::system(what(), e))?.port();
        if UdpSocket::bind((address, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(LabError::system(what(), std::io::ErrorKind::AddrInUse.into()))
}

fn batch(host: Option<&str>, lines: &str) -> Result<(), LabError> {
    let mut ip = command("ip");
    if let Some(host) = host {
        ip.args(["-n", host]);
    }
    ip.args(["-batch", "-"]);
    ip.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error| LabError::system("cannot run ip", error);
    let mut child = ip.spawn().map_err(failed)?;
    let mut input = child.stdin.take().expect("it was piped");
    // If ip ended early, its own words say why.
    let _ = input.write_all(lines.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(failed)?;
    succeeded(&ip, output).map(drop)
}

fn is_running(pid: Pid, program: &str) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|&byte| byte == 0).any(|word| {
        word.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name == program.as_bytes())
    })
}

fn process_ids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The parent of a process that is neither dead nor a zombie.
fn parent_of_live(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent ...`; a name may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace();
    let state = words.next()?;
    let parent = words.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::in_namespaces;
    use std::fs::File;
    use std::io;
    use std::net::TcpStream;
    use std::thread;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    const SOON: Duration = Duration::from_secs(5);

    /// Does something in a thread that stands on the host.
    fn on_host<T: Send>(host: &str, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let act = || {
                let file = File::open(namespace(host)).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).unwrap();
                act()
            };
            scope.spawn(act).join().unwrap()
        })
    }

    fn two_hosts() -> Network {
        let ground = Ground::here("").unwrap();
        Network::build(ground, &["n1".into(), "n2".into()]).unwrap()
    }

    fn listener(host: &str, address: Ipv4Addr) -> (TcpListener, std::net::SocketAddr) {
        let listener = on_host(host, || TcpListener::bind((address, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn connects(host: &str, address: std::net::SocketAddr, bound: Duration) -> bool {
        on_host(host, || TcpStream::connect_timeout(&address, bound)).is_ok()
    }

    #[test]
    fn a_cut_closes_one_wire_of_one_host_and_healing_opens_it() {
        if !in_namespaces(
            "lab::network::tests::a_cut_closes_one_wire_of_one_host_and_healing_opens_it",
        ) {
            return;
        }
        let network = two_hosts();
        let (_beat, beat) = listener("n1", Wire::Heartbeat.address(1));
        let (_disk, disk) = listener("n1", Wire::Storage.address(1));
        assert!(connects("n2", beat, SOON) && connects("n2", disk, SOON));
        network.cut("n1", Wire::Heartbeat).unwrap();
        assert!(!connects("n2", beat, Duration::from_millis(100)));
        assert!(connects("n2", disk, SOON) && connects("san", disk, SOON));
        network.heal("n1", Wire::Heartbeat).unwrap();
        until("the healed wire", SOON, || connects("n2", beat, SOON).then_some(())).unwrap();
    }

    #[test]
    fn killing_a_host_kills_everything_on_it_and_nothing_else() {
        if !in_namespaces(
            "lab::network::tests::killing_a_host_kills_everything_on_it_and_nothing_else",
        ) {
            return;
        }
        let network = two_hosts();
        let (listening, address) = listener("n1", Wire::Heartbeat.address(1));
        let mut shell = network.command("n1", "sh");
        let mut doomed = shell.args(["-c", "sleep 600 & sleep 600 & wait"]).spawn().unwrap();
        let mut spared = network.command("n2", "sleep").arg("600").spawn().unwrap();
        until("the shell's children", SOON, || {
            (network.processes("n1", 0).len() == 3).then_some(())
        })
        .unwrap();
        network.kill_host("n1", doomed.id()).unwrap();
        assert!(!doomed.wait().unwrap().success());
        assert!(network.processes("n1", 0).is_empty());
        assert!(spared.try_wait().unwrap().is_none());
        drop(listening);
        // The network of a killed host goes on: its kernel refuses what nobody listens to.
        let refused = on_host("n2", || TcpStream::connect_timeout(&address, SOON)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(network.kill_program("n2", 0, "cat").is_err());
        network.kill_program("n2", 0, "sleep").unwrap();
        assert!(!spared.wait().unwrap().success());
    }

    #[test]
    fn on_loopback_a_host_is_a_process_and_what_descends_from_it() {
        let ground = Ground::Loopback { why: "a test".into() };
        let network = Network::build(ground, &["n1".into()]).unwrap();
        let mut doomed =
            network.command("n1", "sh").args(["-c", "sleep 600 & wait"]).spawn().unwrap();
        let found = || network.processes("n1", doomed.id());
        until("the shell's child", SOON, || (found().len() == 2).then_some(())).unwrap();
        network.kill_host("n1", doomed.id()).unwrap();
        assert!(!doomed.wait().unwrap().success());
        assert_ne!(network.listens_at("n1"), network.listens_at(STORAGE));
    }
}
