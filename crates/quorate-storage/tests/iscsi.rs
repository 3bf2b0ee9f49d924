//! The iSCSI driver against a real target.
#![cfg(quorate_libiscsi)]

use std::time::Duration;

use quorate_storage::testing::Target;
use quorate_storage::{IscsiLun, IscsiOptions, Lun, LunError, LunEvent, ReservationKey, ReservationType};

const KEY_A: ReservationKey = ReservationKey(0xa1);
const KEY_B: ReservationKey = ReservationKey(0xb1);

fn options(url: String, node: &str) -> IscsiOptions {
    IscsiOptions {
        url,
        initiator: format!("iqn.2026-01.org.quorate:{node}"),
        nexus: format!("test/{node}/lun"),
        timeout: Duration::from_secs(5),
    }
}

fn open(target: &Target, node: &str) -> IscsiLun {
    IscsiLun::open(options(target.url(), node)).unwrap()
}

#[test]
fn try_out() {
    let target = Target::start(16 << 20).unwrap();
    let a = open(&target, "a");
    println!("{:?}", a.capabilities());
    let b = open(&target, "b");
    a.register(KEY_A).unwrap();
    a.reserve(KEY_A).unwrap();
    println!("{:?}", a.read_keys());
    a.write_at(0, &[1; 4096]).unwrap();
    a.flush().unwrap();
    println!("{:?}", b.write_at(0, &[2; 512]));
    b.register(KEY_B).unwrap();
    println!("self preempt {:?} {:?}", a.preempt(KEY_A, KEY_A), a.read_keys());
    println!("unknown victim {:?}", b.preempt(KEY_B, ReservationKey(99)));
    b.preempt_and_abort(KEY_B, KEY_A).unwrap();
    println!("{:?}", b.read_keys());
    println!("{:?}", a.write_at(0, &[3; 512]));
    println!("{:?}", a.write_at(0, &[3; 512]));
    println!("{:?}", a.events());
    println!("{:?}", IscsiLun::open(options(target.url_of(0), "c")));
    println!("{:?}", IscsiLun::open(options(target.url_of(7), "c")));
    println!("{:?}", IscsiLun::open(options(target.url().replace("target/", "nix/"), "c")));
    println!("{:?}", IscsiLun::open(options("iscsi://127.0.0.1:1/x/1".into(), "c")));
    let mut bytes = [0; 4096];
    b.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [1; 4096]);
    println!("rel {:?} {:?}", b.release(KEY_B), b.read_keys());
    println!("rel by unreg {:?}", a.release(KEY_A));
    println!("un {:?} un again {:?}", b.unregister(), b.unregister());
}
