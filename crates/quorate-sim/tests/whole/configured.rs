//! Configurations that change while everything fails: groups come and go, what is in force is replaced and taken back.

use quorate_sim::coverage::Table;
use quorate_sim::{Coverage, FaultKind, Faults, Options, run};

fn clean(seeds: impl Iterator<Item = u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let outcome = run(seed, &Options::of_configurations(seed));
        coverage += &outcome.coverage;
        assert!(outcome.is_clean(), "seed {seed}: {:?}", outcome.violations);
    }
    coverage
}

#[test]
fn whatever_is_configured_nothing_is_broken() {
    let coverage = clean(0..80);
    let met = |table: Table, name: &str| {
        coverage
            .all()
            .iter()
            .any(|met| met.table == table.name() && met.name == name && met.count > 0)
    };
    for (table, name) in [
        (Table::Command, "add_group"),
        (Table::Command, "remove_group"),
        (Table::Command, "configure"),
        (Table::Notice, "configured"),
        (Table::Cause, "not_possible"),
        (Table::Fault, "configure"),
    ] {
        assert!(met(table, name), "{name} was never met");
    }
}

#[test]
fn configurations_change_only_where_that_is_asked_for() {
    use FaultKind::*;
    for kind in [AddGroup, RemoveGroup, Configure] {
        assert_eq!((Faults::ALL.weight(kind), Faults::RULED.weight(kind)), (0, 0));
        assert!(Faults::CONFIGURED.weight(kind) > 0);
    }
}

/// Seeds that were broken once, by judges that went by what was no more in force; by a shared LUN whose books another
/// part kept from the moment when that came (593); by two groups that were sent one after the other to a node with room
/// for one of them (2957), or to one from where the other had not gone yet (2705); by rules that contradict each other,
/// of which one was broken (2045); by judges that held a rule about a group that is not there (1713), and forgot why a
/// group had been let go (2481).
#[test]
fn seeds_that_were_broken_once_are_clean() {
    clean([85, 343, 572, 593, 640, 865, 896, 925, 1713, 2045, 2481, 2705, 2957].into_iter());
}
