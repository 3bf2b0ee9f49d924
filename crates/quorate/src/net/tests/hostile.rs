//! Strangers, what is said again, and what nobody may ask for.

use super::*;

#[test]
fn a_wrong_key_or_cluster_is_told_on_both_sides() {
    let wrong_key = NetConfig { key: ClusterKey::from_bytes([1; 32]), ..config(1, 10) };
    let wrong_cluster = NetConfig { cluster_id: 1, ..config(1, 10) };
    for (one, reason) in
        [(wrong_key, DropReason::WrongKey), (wrong_cluster, DropReason::WrongCluster)]
    {
        let (one, two) = pair_of(one, config(2, 20));
        assert_eq!(one.until_failed(reason), Some(2));
        assert_eq!(two.until_failed(reason), None);
        let before = two.net.handle().dropped(reason);
        one.net.handle().send_datagram(2, 0, b"beat").unwrap();
        two.until(|_| (two.net.handle().dropped(reason) > before).then_some(()));
        one.net.handle().send_stream(2, vec![1]).unwrap_err();
    }
}

#[test]
fn an_earlier_run_of_a_peer_is_refused() {
    let (one, two) = open_pair();
    let address = one.address();
    drop(one.net);
    two.until_refused(1);
    let mut config = config(1, 9);
    config.paths[0].address = address;
    config.peers = vec![two.as_peer()];
    let old = Node::start(config);
    assert_eq!(old.until_failed(DropReason::OldIncarnation), Some(2));
    old.net.handle().send_datagram(2, 0, b"beat").unwrap();
    let before = two.net.handle().dropped(DropReason::OldIncarnation);
    two.until(|_| (two.net.handle().dropped(DropReason::OldIncarnation) > before).then_some(()));
}

#[test]
fn a_replayed_datagram_is_dropped() {
    let (_one, two) = open_pair();
    let sealer = Sealer::new(&key(), CLUSTER, (1, 10), [0; 5], 1400);
    let beat = sealer.seal(Route { to: 2, path: 0, sequence: 1 }, b"beat").unwrap();
    let late = sealer.seal(Route { to: 2, path: 0, sequence: 2 }, b"late").unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in [&beat, &beat, &late] {
        stranger.send_to(datagram, two.address()).unwrap();
    }
    assert_eq!(two.until_datagram(1), b"beat");
    assert_eq!(two.until_datagram(1), b"late");
    assert_eq!(two.net.handle().dropped(DropReason::Replayed), 1);
    two.until_dropped(DropReason::Replayed);
}

#[test]
fn a_datagram_over_the_limit_is_refused_at_the_sender() {
    let (one, two) = open_pair();
    let room = one.net.handle().datagram_room();
    let error = one.net.handle().send_datagram(2, 0, &vec![0; room + 1]).unwrap_err();
    assert_eq!(error, SendError::TooLong { bytes: room + 1, limit: room });
    one.net.handle().send_datagram(2, 0, &vec![5; room]).unwrap();
    assert_eq!(two.until_datagram(1).len(), room);
}

#[test]
fn a_recorded_greeting_opens_nothing_and_disturbs_nothing() {
    let mut config_two = config(2, 20);
    config_two.limits.handshake_timeout = Duration::from_millis(200);
    let (one, two) = pair_of(config(1, 10), config_two);
    two.until_open(1);
    one.until_open(2);
    let (greeting, _) = Identity::new(&key(), CLUSTER, 1, 10).call(2, 1);
    let mut stranger = TcpStream::connect(two.address()).unwrap();
    stranger.write_all(&greeting).unwrap();
    let mut answer = Vec::new();
    // It is answered, waits in vain for the first frame, and is closed.
    stranger.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0));
    assert_eq!(two.until_failed(DropReason::HandshakeTimedOut), None);
    one.say(2, "still here");
    let next = two.until(|event| match event {
        NetEvent::Dropped { .. } => None,
        other => Some(other.clone()),
    });
    let bytes = b"still here".to_vec();
    assert_eq!(next, NetEvent::StreamMessage { peer: 1, incarnation: 10, bytes });
}

#[test]
fn garbage_on_the_ports_is_counted_and_closed() {
    let (one, two) = open_pair();
    let mut stranger = TcpStream::connect(two.address()).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(two.until_failed(DropReason::Malformed), None);
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest);
    assert!(rest.is_empty());
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.send_to(&[0; 10], two.address()).unwrap();
    datagrams.send_to(&[1; 3000], two.address()).unwrap();
    two.until_dropped(DropReason::TooLong);
    one.say(2, "unharmed");
    assert_eq!(two.until_message(1), b"unharmed");
}

#[test]
fn callers_that_say_nothing_are_closed_in_time_and_are_few() {
    let mut config = config(2, 20);
    config.limits.handshake_timeout = Duration::from_millis(300);
    config.limits.half_open_max = 2;
    let two = Node::start(config);
    let start = Instant::now();
    let mut strangers: Vec<TcpStream> =
        (0..5).map(|_| TcpStream::connect(two.address()).unwrap()).collect();
    two.until_dropped(DropReason::TooManyHalfOpen);
    for stranger in &mut strangers {
        stranger.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
    }
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(two.net.handle().dropped(DropReason::TooManyHalfOpen), 3);
    assert_eq!(two.net.handle().dropped(DropReason::HandshakeTimedOut), 2);
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let one = Node::start(config(1, 10));
    let mut second = config(1, 11);
    second.paths[0].address = one.address();
    let (sender, _events) = crossbeam_channel::bounded(1);
    let error = Net::start(second, sender.clone()).unwrap_err();
    assert!(matches!(error, NetError::PortInUse { protocol: "TCP", .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&one.address().to_string()) && text.contains("already running"),
        "{text}"
    );
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut other = config(1, 11);
    other.paths[0].address = taken.local_addr().unwrap();
    let error = Net::start(other, sender.clone()).unwrap_err();
    assert!(matches!(error, NetError::PortInUse { protocol: "UDP", .. }), "{error}");
    let mut elsewhere = config(1, 11);
    elsewhere.paths[0].address = "192.0.2.1:7700".parse().unwrap();
    let error = Net::start(elsewhere, sender).unwrap_err();
    assert!(matches!(error, NetError::NoSuchAddress { .. }), "{error}");
}

#[test]
fn impossible_configurations_are_refused() {
    let start = |config: NetConfig| {
        let (sender, _events) = crossbeam_channel::bounded(1);
        Net::start(config, sender).map(|_| ()).unwrap_err().to_string()
    };
    let none = NetConfig { paths: vec![], ..config(1, 1) };
    assert!(start(none).contains("needs 1 to 16 networks, this one has 0"));
    let mut twice = config(1, 1);
    twice.paths.push(twice.paths[0]);
    assert!(start(twice).contains("network 0 is given twice"));
    let mut ourselves = config(1, 1);
    ourselves.peers = vec![PeerConfig { id: 1, addresses: vec![] }];
    assert!(start(ourselves).contains("node 1 is given twice"));
}
