//! What a change of the configuration would do to a cluster, before it is made.
//!
//! usage: plan_change CURRENT.toml STATUS.json NEXT.toml

use std::error::Error;
use std::path::Path;

use quorate::config::diff;
use quorate::{Config, Plan};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [current, status, next] = files.as_slice() else {
        return Err("usage: plan_change CURRENT.toml STATUS.json NEXT.toml".into());
    };
    let current = Config::from_file(Path::new(current))?;
    let next = Config::from_file(Path::new(next))?.following(&current)?;
    for difference in diff(&current, &next)? {
        println!("{difference}");
    }
    println!("{}", Plan::of_status(&current, &std::fs::read_to_string(status)?, &next)?);
    Ok(())
}
