//! The timing budget: every timeout derived from a few inputs, and the proof that they fit
//! together.
//!
//! The one safety inequality is `lease + stop_time + drift <= detect`: by the time anyone may
//! decide that a node is down, that node, by its own clock, has stopped what it ran. An unsafe set
//! cannot be constructed.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::time::millis;

/// How the silence of a node is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetectionMode {
    /// Down after `detect` without a heartbeat, as in Windows clustering (interval x threshold).
    Fixed,
    /// Down at the freshness point estimated from the arrivals, never before `detect`.
    ///
    /// Source: Chen, Toueg, Aguilera: On the Quality of Service of Failure Detectors, 2002 (NFD-E).
    Adaptive,
}

/// What the timing is derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingInputs {
    /// How long a silent node is waited for.
    pub detect: Duration,
    /// The length between two heartbeats on one path.
    pub interval: Duration,
    /// How long the host may take to kill what runs here, from the order to the last process's end.
    pub stop_time: Duration,
    /// The longest that one I/O to a LUN may take before it counts as failed.
    pub io_bound: Duration,
    /// How far two nodes' clocks may drift apart, in parts per million of elapsed time.
    pub drift_ppm: u32,
    /// How silence is judged.
    pub mode: DetectionMode,
}

impl TimingInputs {
    /// Detection in 2 s, ten heartbeats: for clusters on ordinary networks.
    pub const DEFAULT: Self = Self {
        detect: Duration::from_millis(2_000),
        interval: Duration::from_millis(200),
        stop_time: Duration::from_millis(500),
        io_bound: Duration::from_millis(3_000),
        drift_ppm: 1_000,
        mode: DetectionMode::Adaptive,
    };

    /// Detection in 0.5 s, ten heartbeats: for clusters on quiet networks.
    pub const FAST: Self = Self {
        detect: Duration::from_millis(500),
        interval: Duration::from_millis(50),
        stop_time: Duration::from_millis(150),
        io_bound: Duration::from_millis(3_000),
        drift_ppm: 1_000,
        mode: DetectionMode::Fixed,
    };
}

impl Default for TimingInputs {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An unsafe or impossible set of timings, by the rule that fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// A value is outside its bounds.
    #[error("{name} {value} ms must be between {min} ms and {max} ms")]
    OutOfBounds {
        /// The input's name.
        name: &'static str,
        /// Its value in milliseconds.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// `lease + stop_time + drift <= detect` leaves no room for the lease to be renewed three
    /// times.
    #[error(
        "lease {lease} ms + stop_time {stop} ms + drift {drift} ms <= detect {detect} ms \
         leaves less than 3 heartbeats of {interval} ms for the lease"
    )]
    LeaseTooShort {
        /// What is left for the lease.
        lease: u64,
        /// The stop time.
        stop: u64,
        /// The drift over `detect`.
        drift: u64,
        /// The detection time.
        detect: u64,
        /// The heartbeat interval.
        interval: u64,
    },
    /// Fewer than six heartbeats fit into the detection time: an election would outlast it.
    #[error("6 x interval {interval} ms <= detect {detect} ms does not hold")]
    TooFewBeats {
        /// The heartbeat interval.
        interval: u64,
        /// The detection time.
        detect: u64,
    },
    /// The clocks may drift too far apart.
    #[error("drift_ppm {0} must be at most 50000")]
    Drift(u32),
}

/// Every timeout of the engine. Fields are lengths on the clock of the node that measures them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    inputs: TimingInputs,
    /// Between two heartbeats on a path.
    pub interval: Duration,
    /// Without a heartbeat for this long a node is suspect: it is probed, and the plan is made
    /// ready.
    pub suspect: Duration,
    /// Without a heartbeat for this long a node is down.
    pub detect: Duration,
    /// How long a node may act after the sending of its newest heartbeat that a majority of voters
    /// acknowledged.
    pub lease: Duration,
    /// How long after the newest acknowledged heartbeat a node has provably stopped, by anyone's
    /// clock.
    pub lease_over: Duration,
    /// How long past its lease a group may run whose every LUN refuses a stale writer.
    pub isolation_grace: Duration,
    /// The clock of consensus: its heartbeats are that far apart.
    pub consensus_tick: Duration,
    /// A voter that has not heard from the coordinator stands for election after a time between
    /// this …
    pub election_min: Duration,
    /// … and this.
    pub election_max: Duration,
    /// After a connection was closed by the other side's kernel, how long its datagrams may prove
    /// that it lives.
    pub reset_grace: Duration,
    /// The longest one I/O to a LUN may take.
    pub io_bound: Duration,
    /// How long killing what runs here may take.
    pub stop_time: Duration,
}

impl Timing {
    /// Derives everything, or names the rule that the inputs break.
    ///
    /// # Errors
    /// See [`TimingError`].
    pub fn derive(inputs: &TimingInputs) -> Result<Self, TimingError> {
        check_bounds(inputs)?;
        let TimingInputs { detect, interval, stop_time, io_bound, drift_ppm, .. } = *inputs;
        if interval * 6 > detect {
            return Err(TimingError::TooFewBeats {
                interval: millis(interval),
                detect: millis(detect),
            });
        }
        let drift = detect * drift_ppm / 1_000_000;
        let lease = detect.saturating_sub(stop_time + drift);
        if lease < interval * 3 {
            return Err(TimingError::LeaseTooShort {
                lease: millis(lease),
                stop: millis(stop_time),
                drift: millis(drift),
                detect: millis(detect),
                interval: millis(interval),
            });
        }
        Ok(Self {
            inputs: *inputs,
            interval,
            suspect: interval * 3,
            detect,
            lease,
            lease_over: lease + stop_time + drift,
            isolation_grace: detect * 2,
            consensus_tick: interval,
            election_min: (interval * 3).max(detect / 4),
            election_max: (interval * 5).max(detect / 2),
            reset_grace: (interval * 2).min(detect / 4),
            io_bound,
            stop_time,
        })
    }

    /// What this was derived from.
    pub fn inputs(&self) -> &TimingInputs {
        &self.inputs
    }

    /// The usual outage of a group whose node falls silent, up to the order to start it elsewhere.
    pub fn outage_usual(&self) -> Duration {
        self.detect + self.interval
    }

    /// The worst one: the detector has seen much lateness, and the first election is split.
    pub fn outage_worst(&self) -> Duration {
        let detect = match self.inputs.mode {
            DetectionMode::Fixed => self.detect,
            DetectionMode::Adaptive => self.detect * 2,
        };
        detect + self.interval + self.election_max
    }

    /// How long a cluster that was hit by anything may take, once all is mended, until everything that can run is
    /// online: the worst outage, until a lease is proven over, a round of commands to a LUN that was never answered
    /// on either side, a start that failed by never answering and the next one; and the waits between repetitions.
    pub fn convergence_worst(&self, pending_timeout: Duration) -> Duration {
        let repeats = self.interval * 4 * 4;
        let storage = self.io_bound * 4;
        self.outage_worst() + self.lease_over + storage + pending_timeout * 2 + repeats
    }

    /// The derivation as text, one line a value, for people.
    pub fn derivation(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: Duration, why: &str| {
            let _ = writeln!(text, "{name:<16} {:>6} ms   {why}", millis(value));
        };
        let inputs = &self.inputs;
        let drift = self.detect * inputs.drift_ppm / 1_000_000;
        line("detect", self.detect, "given: silence after which a node is down");
        line("interval", self.interval, "given: between two heartbeats on a path");
        line("stop_time", self.stop_time, "given: killing what runs on a node");
        line("io_bound", self.io_bound, "given: the longest I/O to a LUN");
        line("drift", drift, &format!("detect x {} ppm", inputs.drift_ppm));
        line("suspect", self.suspect, "3 x interval: probe, make the plan ready");
        line("lease", self.lease, "detect - stop_time - drift: a node may act so long unheard");
        line("lease_over", self.lease_over, "lease + stop_time + drift <= detect: it has stopped");
        line("isolation_grace", self.isolation_grace, "2 x detect: past the lease, LUN enforced");
        line("election", self.election_min, "max(3 x interval, detect / 4): the earliest");
        line("election_max", self.election_max, "max(5 x interval, detect / 2): the latest");
        line("reset_grace", self.reset_grace, "min(2 x interval, detect / 4): after a reset");
        line("outage_usual", self.outage_usual(), "detect + interval: silence to start order");
        let worst = match inputs.mode {
            DetectionMode::Fixed => "detect + interval + election_max",
            DetectionMode::Adaptive => "2 x detect + interval + election_max",
        };
        line("outage_worst", self.outage_worst(), worst);
        text
    }
}

fn check_bounds(inputs: &TimingInputs) -> Result<(), TimingError> {
    let bounds = [
        ("detect", inputs.detect, 100, 600_000),
        ("interval", inputs.interval, 10, 60_000),
        ("stop_time", inputs.stop_time, 10, 300_000),
        ("io_bound", inputs.io_bound, 100, 300_000),
    ];
    for (name, value, min, max) in bounds {
        let value = millis(value);
        if value < min || value > max {
            return Err(TimingError::OutOfBounds { name, value, min, max });
        }
    }
    if inputs.drift_ppm > 50_000 {
        return Err(TimingError::Drift(inputs.drift_ppm));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_profiles_are_safe() {
        for inputs in [TimingInputs::DEFAULT, TimingInputs::FAST] {
            let timing = Timing::derive(&inputs).unwrap();
            assert!(timing.lease_over <= timing.detect);
            assert!(timing.election_max < timing.detect);
        }
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_is_refused_with_its_inequality() {
        let inputs = TimingInputs { stop_time: Duration::from_millis(400), ..TimingInputs::FAST };
        let text = Timing::derive(&inputs).unwrap_err().to_string();
        assert!(text.contains("stop_time 400 ms") && text.contains("detect 500 ms"), "{text}");
    }

    proptest! {
        #[test]
        fn no_accepted_set_breaks_the_safety_inequality(
            detect in 1u64..10_000,
            interval in 1u64..2_000,
            stop in 1u64..10_000,
            ppm in 0u32..60_000,
        ) {
            let inputs = TimingInputs {
                detect: Duration::from_millis(detect),
                interval: Duration::from_millis(interval),
                stop_time: Duration::from_millis(stop),
                drift_ppm: ppm,
                ..TimingInputs::DEFAULT
            };
            if let Ok(timing) = Timing::derive(&inputs) {
                let drift = timing.detect * ppm / 1_000_000;
                prop_assert!(timing.lease + timing.stop_time + drift <= timing.detect);
                prop_assert!(timing.lease >= timing.interval * 3);
                prop_assert!(timing.election_max < timing.detect);
            }
        }
    }
}
