//! Whatever a hostile device answers: nobody panics, and nothing is read out of it that it has no room for. At length:
//! `fuzz/fuzz_targets/device_answer.rs`.

use proptest::prelude::*;
use quorate_storage::testing::hostile;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_misleads_a_parser(
        mut answer in proptest::collection::vec(any::<u8>(), 0..600),
        (cut, is_zero) in (0..600_usize, any::<bool>()),
    ) {
        // Lengths that fit are rare among random ones.
        if answer.len() >= 8 {
            let length = (cut % answer.len()) as u32;
            answer[4..8].copy_from_slice(&length.to_be_bytes());
        }
        if is_zero {
            let end = answer.len();
            answer[end / 2..].fill(0);
        }
        hostile::answer(&answer);
    }
}
