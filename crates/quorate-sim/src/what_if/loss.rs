//! What is lost, and every case of it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use quorate_core::config::ClusterConfig;

use super::error::Error;
use super::situation::Situation;

/// At most so many cases in one question.
pub const CASES_MAX: u128 = 5_000;

/// What is to be lost: any so many of a kind, or something by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lose {
    /// Any so many nodes that run.
    Nodes(usize),
    /// Any so many networks.
    Networks(usize),
    /// Any so many LUNs.
    Luns(usize),
    /// A node, a LUN, a network as in `network0`, or `witness`.
    Named(String),
}

impl FromStr for Lose {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let wrong = || Error::Loss { text: text.to_owned() };
        let Some((kind, count)) = text.split_once(':') else {
            let named = || Lose::Named(text.to_owned());
            return (!text.is_empty()).then(named).ok_or_else(wrong);
        };
        let count = count.parse().ok().filter(|&count| count > 0).ok_or_else(wrong)?;
        match kind {
            "nodes" => Ok(Lose::Nodes(count)),
            "networks" => Ok(Lose::Networks(count)),
            "luns" => Ok(Lose::Luns(count)),
            _ => Err(wrong()),
        }
    }
}

/// One case: all of this is lost at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Nodes that lose power.
    pub nodes: BTreeSet<String>,
    /// Networks that fail, counted from 0.
    pub networks: BTreeSet<u8>,
    /// LUNs that no node reaches any more.
    pub luns: BTreeSet<String>,
    /// Whether no node reaches the witness any more.
    pub witness: bool,
}

/// How the witness is called where it is to be lost.
const WITNESS: &str = "witness";

impl Loss {
    /// The names of what is lost.
    pub fn names(&self) -> Vec<String> {
        let networks = self.networks.iter().map(|&network| network_name(network));
        let witness = self.witness.then(|| WITNESS.to_owned());
        let all = self.nodes.iter().cloned().chain(networks).chain(self.luns.iter().cloned());
        all.chain(witness).collect()
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

fn network_name(network: u8) -> String {
    format!("network{network}")
}

/// What can be lost.
struct Stock {
    nodes: Vec<String>,
    running: Vec<String>,
    networks: Vec<String>,
    luns: Vec<String>,
    witness: Option<String>,
}

impl Stock {
    fn of(config: &ClusterConfig, situation: &Situation) -> Self {
        let nodes: Vec<String> = config.nodes().iter().map(|node| node.name.clone()).collect();
        let networks = config.nodes().first().map_or(0, |node| node.addresses.len());
        Self {
            running: nodes.iter().filter(|node| situation.runs(node)).cloned().collect(),
            nodes,
            networks: (0..networks as u8).map(network_name).collect(),
            luns: config.luns().iter().map(|lun| lun.name.clone()).collect(),
            witness: config.witness().map(|_| WITNESS.to_owned()),
        }
    }

    fn has(&self, name: &str) -> bool {
        let mut all =
            self.nodes.iter().chain(&self.networks).chain(&self.luns).chain(&self.witness);
        all.any(|known| known == name)
    }

    fn loss(&self, names: &BTreeSet<&str>) -> Loss {
        let of = |list: &[String]| {
            list.iter().filter(|name| names.contains(name.as_str())).cloned().collect()
        };
        let networks = (0..).zip(&self.networks);
        let networks = networks.filter(|(_, name)| names.contains(name.as_str()));
        Loss {
            nodes: of(&self.nodes),
            networks: networks.map(|(number, _)| number).collect(),
            luns: of(&self.luns),
            witness: self.witness.as_deref().is_some_and(|name| names.contains(name)),
        }
    }
}

/// Every case of a question: what is named is lost in each, and any so many of a kind beside it.
pub(super) fn cases(
    config: &ClusterConfig,
    situation: &Situation,
    lose: &[Lose],
) -> Result<Vec<Loss>, Error> {
    let stock = Stock::of(config, situation);
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let mut choices: Vec<(Vec<&str>, usize)> = Vec::new();
    for one in lose {
        let (kind, list, count) = match one {
            Lose::Nodes(count) => ("running nodes", &stock.running, *count),
            Lose::Networks(count) => ("networks", &stock.networks, *count),
            Lose::Luns(count) => ("LUNs", &stock.luns, *count),
            Lose::Named(name) if stock.has(name) => {
                named.insert(name);
                continue;
            }
            Lose::Named(name) => return Err(unknown(&stock, name)),
        };
        if count > list.len() {
            return Err(Error::TooFew { kind, lose: count, there: list.len() });
        }
        choices.push((list.iter().map(String::as_str).collect(), count));
    }
    let count = choices
        .iter()
        .fold(1_u128, |all, (list, count)| all.saturating_mul(combinations(list.len(), *count)));
    if count > CASES_MAX {
        return Err(Error::TooMany { cases: count });
    }
    let mut sets = vec![named];
    for (list, count) in &choices {
        let chosen = choose(list, *count);
        // What one choice takes and another too, is no case of its own.
        sets = sets.iter().flat_map(|set| chosen.iter().map(|more| joined(set, more))).collect();
    }
    let mut cases: Vec<Loss> = Vec::new();
    for loss in sets.iter().map(|set| stock.loss(set)).filter(|loss| *loss != Loss::default()) {
        if !cases.contains(&loss) {
            cases.push(loss);
        }
    }
    Ok(cases)
}

fn unknown(stock: &Stock, name: &str) -> Error {
    let all = stock.nodes.iter().chain(&stock.networks).chain(&stock.luns).chain(&stock.witness);
    let known = all.map(String::as_str).collect::<Vec<_>>().join(", ");
    Error::Unknown { name: name.to_owned(), known }
}

fn joined<'a>(set: &BTreeSet<&'a str>, more: &[&'a str]) -> BTreeSet<&'a str> {
    set.iter().chain(more).copied().collect()
}

fn combinations(of: usize, count: usize) -> u128 {
    (0..count as u128).fold(1, |all, at| all.saturating_mul(of as u128 - at) / (at + 1))
}

/// Every way to take `count` of a list, in the order of the list.
fn choose<'a>(list: &[&'a str], count: usize) -> Vec<Vec<&'a str>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, &first) in list.iter().enumerate() {
        for rest in choose(&list[at + 1..], count - 1) {
            all.push(std::iter::once(first).chain(rest).collect());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, Disk};

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let builder = Cluster::builder().group("a", Disk::Enforced).group("b", Disk::Enforced);
        let config = builder.build().unwrap().config().clone();
        let lose: Result<Vec<Lose>, Error> = words.iter().map(|word| word.parse()).collect();
        let cases = lose.and_then(|lose| cases(&config, &Situation::of(&config), &lose));
        let cases = cases.map_err(|error| error.to_string())?;
        Ok(cases.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_question_stands_for_every_case_of_it() {
        assert_eq!(names(&["nodes:2"]).unwrap(), ["n1, n2", "n1, n3", "n2, n3"]);
        assert_eq!(names(&["networks:2"]).unwrap(), ["network0, network1"]);
        assert_eq!(names(&["n2", "disk-a"]).unwrap(), ["n2, disk-a"]);
        assert_eq!(names(&["n1", "luns:1"]).unwrap(), ["n1, disk-a", "n1, disk-b"]);
        assert_eq!(names(&["nodes:1", "n1"]).unwrap(), ["n1", "n1, n2", "n1, n3"]);
    }

    #[test]
    fn what_cannot_be_lost_is_refused_with_what_can() {
        for (word, why) in [
            ("nodes:4", "4 running nodes cannot be lost: there are 3"),
            ("n9", "n9 is no node, network or LUN; there are: n1, n2, n3, network0, network1"),
            ("nodes:0", "\"nodes:0\" is not understood"),
            ("disks:1", "\"disks:1\" is not understood"),
            ("", "\"\" is not understood"),
        ] {
            let text = names(&[word]).unwrap_err();
            assert!(text.starts_with(why), "{text}");
        }
    }

    #[test]
    fn more_cases_than_anybody_waits_for_are_refused() {
        let config = Cluster::new(64, 0).unwrap().config().clone();
        let error = cases(&config, &Situation::of(&config), &[Lose::Nodes(8)]).unwrap_err();
        assert!(error.to_string().starts_with("4426165368 cases are more than 5000"), "{error}");
    }
}
