//! The witness: a voter that lives in storage, not on a host, and when it votes.

use serde::{Deserialize, Serialize};

use super::{ClusterConfig, ClusterParts, ConfigError};
use crate::id::NodeId;

/// Where the witness lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessConfig {
    /// A directory on a file system that all nodes that vote share, the same path on each. It is the witness's alone.
    pub path: String,
    /// Whether it votes, while that is not yet as the number of nodes that vote wants it; none: it is. Nobody writes it
    /// into a file: it stands only between two steps by which who votes changes.
    pub votes: Option<bool>,
}

/// Whether the witness votes, beside so many nodes: where they are even in number, half of them are no majority, and
/// with it they are.
///
/// Source: Windows clustering, dynamic witness (there by the nodes that vote at present, here by the configuration).
pub(super) fn votes(parts: &ClusterParts, nodes: usize) -> bool {
    let Some(witness) = &parts.witness else { return false };
    witness.votes.unwrap_or(nodes.is_multiple_of(2))
}

/// Refuses a place where no register can be.
pub(super) fn check(witness: Option<&WitnessConfig>) -> Result<(), ConfigError> {
    let Some(witness) = witness else { return Ok(()) };
    if !witness.path.starts_with('/') || witness.path.contains('\0') {
        return Err(ConfigError::new(
            "witness.path",
            format!("{:?} is not an absolute path", witness.path),
            "name a directory on a share that every node mounts, as in /mnt/share/cluster",
        ));
    }
    Ok(())
}

impl ClusterConfig {
    /// The witness, whether it votes or not.
    pub fn witness(&self) -> Option<&WitnessConfig> {
        self.parts.witness.as_ref()
    }

    /// Whether there is a witness, and it votes.
    pub fn witness_votes(&self) -> bool {
        self.places.voting.last() == Some(&NodeId::WITNESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_without_an_absolute_path_is_refused_with_the_remedy() {
        for path in ["", "share/cluster", "./here"] {
            let error =
                check(Some(&WitnessConfig { path: path.to_owned(), votes: None })).unwrap_err();
            assert_eq!(error.place, "witness.path");
            assert!(error.remedy.contains("/mnt/share/cluster"), "{error}");
        }
    }
}
