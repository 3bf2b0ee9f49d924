//! Small draws from the one generator.

use std::time::Duration;

use quorate_core::random::Random;

/// A length between `least` and `most`, both in microseconds.
pub fn micros(random: &mut Random, least: u64, most: u64) -> Duration {
    Duration::from_micros(least + random.below(most.saturating_sub(least) + 1))
}

/// A length between `least` and `most`, both in milliseconds.
pub fn millis(random: &mut Random, least: u64, most: u64) -> Duration {
    micros(random, least * 1_000, most * 1_000)
}

/// A part of `length` between `least` and `most` hundredths.
pub fn percent_of(random: &mut Random, length: Duration, least: u32, most: u32) -> Duration {
    let hundredths = least + random.below(u64::from(most - least) + 1) as u32;
    length * hundredths / 100
}

/// One of `items`, none of none.
pub fn pick<T: Copy>(random: &mut Random, items: &[T]) -> Option<T> {
    (!items.is_empty()).then(|| items[random.below(items.len() as u64) as usize])
}

/// Puts `items` into an order that follows from the generator alone.
pub fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at as u64 + 1) as usize);
    }
}
