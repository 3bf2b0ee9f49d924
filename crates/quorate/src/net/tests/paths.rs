//! Networks that fall silent or refuse.

use super::*;

/// Passes bytes on until it is cut, and then holds them without a word.
struct Relay {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Relay {
    fn to(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            drop(listener);
            let far = TcpStream::connect(target).unwrap();
            let copies = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            let threads = copies.map(|(mut from, mut to)| {
                let cut = Arc::clone(&cut);
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = from.read(&mut bytes) {
                        if !cut.load(Ordering::Relaxed) && to.write_all(&bytes[..length]).is_err() {
                            return;
                        }
                    }
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
        });
        Relay { address, is_cut }
    }
}

#[test]
fn a_stream_that_falls_silent_is_opened_again_by_another_network() {
    let two_paths = |me, incarnation| {
        let mut config = config(me, incarnation);
        config.paths.push(PathAddress { path: 1, address: "127.0.0.2:0".parse().unwrap() });
        config.limits.stream_timeout = Duration::from_millis(400);
        config
    };
    let (one, two) = (Node::start(two_paths(1, 10)), Node::start(two_paths(2, 20)));
    two.knows(&[&one]);
    let relay = Relay::to(two.address());
    let mut as_peer = two.as_peer();
    as_peer.addresses[0].address = relay.address;
    let first_only = PeerConfig { id: 2, addresses: as_peer.addresses[..1].to_vec() };
    one.net.handle().update_peers(vec![first_only]).unwrap();
    let path_of = |event: &NetEvent| match event {
        NetEvent::StreamOpened { path, .. } => Some(*path),
        _ => None,
    };
    assert_eq!(one.until(path_of), 0);
    assert_eq!(two.until(path_of), 0);
    one.net.handle().update_peers(vec![as_peer]).unwrap();
    one.say(2, "by the first");
    assert_eq!(two.until_message(1), b"by the first");
    let start = Instant::now();
    relay.is_cut.store(true, Ordering::Relaxed);
    assert_eq!(one.until_closed(2), Closed::TimedOut);
    assert_eq!(one.until(path_of), 1);
    println!("by the other network after {:?}", start.elapsed());
    let how = two.until_closed(1);
    assert!(matches!(how, Closed::TimedOut | Closed::Superseded), "{how:?}");
    two.until(path_of);
    one.say(2, "by the second");
    assert_eq!(two.until_message(1), b"by the second");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_idle_stream_stays_open() {
    let quick = |me, incarnation| {
        let mut config = config(me, incarnation);
        config.limits.stream_timeout = Duration::from_millis(500);
        config
    };
    let (one, two) = pair_of(quick(1, 10), quick(2, 20));
    one.until_open(2);
    two.until_open(1);
    let silence = Duration::from_millis(1500);
    assert!(one.events.recv_timeout(silence).is_err());
    assert!(two.events.try_recv().is_err());
}

#[test]
fn a_probe_reports_only_a_refusal() {
    let (one, two) = open_pair();
    two.net.handle().probe(1);
    one.net.handle().probe(2);
    one.say(2, "x");
    two.until_message(1);
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = one.as_peer();
    nobody.addresses[0].address = free;
    two.net.handle().update_peers(vec![nobody]).unwrap();
    two.net.handle().probe(1);
    let first = two.until(|event| match event {
        NetEvent::Dropped { .. } => None,
        other => Some(other.clone()),
    });
    assert_eq!(first, NetEvent::StreamRefused { peer: 1, path: 0 });
    // The stream is none the worse for it.
    two.say(1, "y");
    assert_eq!(one.until_message(2), b"y");
}

#[test]
fn a_node_that_one_network_refuses_is_not_gone_and_one_that_all_refuse_is() {
    let two_paths = |me, incarnation| {
        let mut config = config(me, incarnation);
        config.paths.push(PathAddress { path: 1, address: "127.0.0.2:0".parse().unwrap() });
        config
    };
    for dying_is_caller in [true, false] {
        let (one, two) = pair_of(two_paths(1, 10), two_paths(2, 20));
        one.until_open(2);
        two.until_open(1);
        let (dying, other) = if dying_is_caller { (one, two) } else { (two, one) };
        // A port that nobody listens on, as behind a firewall.
        let free = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        let mut half = dying.as_peer();
        half.addresses[1].address = free;
        other.net.handle().update_peers(vec![half]).unwrap();
        other.net.handle().probe(dying.id);
        other.say(dying.id, "x");
        dying.until_message(other.id);
        dying.say(other.id, "y");
        other.until(|event| match event {
            NetEvent::StreamRefused { .. } => panic!("one network refused, and the node lives"),
            NetEvent::StreamMessage { .. } => Some(()),
            _ => None,
        });
        let id = dying.id;
        drop(dying.net);
        let mut is_closed = false;
        other.until(|event| match event {
            NetEvent::StreamClosed { peer, .. } => {
                is_closed = *peer == id;
                None
            }
            NetEvent::StreamRefused { .. } => {
                assert!(is_closed, "one network refused, and the node lives");
                Some(())
            }
            _ => None,
        });
    }
}
