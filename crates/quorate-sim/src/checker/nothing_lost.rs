//! I4: what any node takes for committed stands on the disks of a majority of voters at that moment; so it survives the
//! loss of any minority, and a loss of power of all.

use quorate_core::id::NodeId;

use super::{Checker, Fact, View};

#[derive(Default)]
pub(super) struct NothingLost {
    committed: u64,
}

/// Every founder makes the first entry by itself.
const GENESIS: u64 = 1;

impl Checker for NothingLost {
    fn name(&self) -> &'static str {
        "NothingLost"
    }

    fn judge(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Applied { node, index } if index > self.committed => {
                self.committed = index;
                let voters = view.config.voting();
                let witness = view.storage.register.state().map_or(0, |state| state.last().1);
                let last = |voter: &NodeId| match view.hosts.of(voter) {
                    Some(host) => host.disk.last_entry(),
                    None => witness,
                };
                let holders =
                    |voters: &[NodeId]| voters.iter().filter(|one| last(one) >= index).count();
                let holds = |voters: &[NodeId]| holders(voters) > voters.len() / 2;
                // A change of voters, and what was written before it, is committed by those who voted until then.
                let before = view.voting_before.is_some_and(holds);
                let (holders, voters) = (holders(voters), voters.len());
                if holders <= voters / 2 && !before && index > GENESIS {
                    return Err(format!(
                        "{node} takes the entry at {index} for committed, and {holders} of {voters} disks hold it"
                    ));
                }
                Ok(())
            }
            Fact::Applied { .. }
            | Fact::Started { .. }
            | Fact::Told { .. }
            | Fact::Persists { .. }
            | Fact::Promises { .. }
            | Fact::Starts { .. }
            | Fact::Began { .. }
            | Fact::Ended { .. }
            | Fact::Resumed { .. }
            | Fact::Wrote { .. }
            | Fact::Access { .. }
            | Fact::Passed
            | Fact::Asked { .. }
            | Fact::Leaves { .. }
            | Fact::Unconverged { .. } => Ok(()),
        }
    }
}
