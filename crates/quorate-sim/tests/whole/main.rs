//! A whole cluster in the simulator. One program: each more has to be linked.

mod configured;
mod manual;
mod members;
mod parts;
mod planted;
mod policies;
mod seeds;
mod single;
mod testing;
mod timeline;
mod what_if;
mod witness;

#[test]
fn owners_of_parts_of_one_lun_never_disturb_each_other_and_all_get_theirs() {
    for seed in 0..300 {
        assert_eq!(parts::disturbed(seed), None, "seed {seed}");
    }
}
