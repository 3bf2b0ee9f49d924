//! Votes: pure functions from who is there to whether that is enough.

use crate::plant::{self, Plant};

/// How many of `voters` are more than half. An empty electorate has no quorum: nobody can be one of
/// it.
pub fn majority(voters: usize) -> usize {
    if plant::is(Plant::QuorumOffByOne) { voters.div_ceil(2) } else { voters / 2 + 1 }
}

/// The largest value that a majority of `voters` values reach or exceed, where those who gave none
/// count as the least; none: no majority gave one.
pub fn majority_value<T: Ord + Copy>(
    voters: usize,
    values: impl IntoIterator<Item = T>,
) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    if voters == 0 { None } else { sorted.get(majority(voters) - 1).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_electorate_has_no_quorum() {
        assert_eq!(majority_value(0, [1]), None);
    }

    proptest! {
        #[test]
        fn two_disjoint_sides_are_never_both_a_majority(voters in 0usize..20, one in 0usize..20) {
            let other = voters.saturating_sub(one);
            prop_assert!(one.min(voters) < majority(voters) || other < majority(voters));
        }

        #[test]
        fn the_majority_value_is_reached_by_a_majority_and_nothing_larger_is(
            values in proptest::collection::vec(0u32..50, 0..8), silent in 0usize..4,
        ) {
            let voters = values.len() + silent;
            let reached = |limit: u32| values.iter().filter(|&&value| value >= limit).count();
            match majority_value(voters, values.iter().copied()) {
                Some(value) => {
                    prop_assert!(reached(value) >= majority(voters));
                    prop_assert!(reached(value + 1) < majority(voters));
                }
                None => prop_assert!(values.len() < majority(voters)),
            }
        }
    }
}
