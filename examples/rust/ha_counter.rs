//! A tool that makes its own resource type highly available: a counter that lives in this process and keeps its
//! count on the group's LUN. Run one per node; kill one, and another counts on.
//!
//!     ha_counter CLUSTER_TOML NODE STATE_DIR KEY_FILE

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::{ClusterKey, Config, Item, Node, NodeOptions, Request, Resource};

/// Where the count is kept, while the counter runs here.
struct Counter(Arc<Mutex<Option<PathBuf>>>);

impl Resource for Counter {
    fn start(&self, request: &Request) -> Result<(), String> {
        let lun = request.luns.first().ok_or("the counter needs a LUN")?;
        *self.0.lock().expect("no holder panics") = Some(lun.path.join("count"));
        Ok(())
    }

    fn stop(&self, request: &Request) -> Result<(), String> {
        self.kill(request)
    }

    fn kill(&self, _request: &Request) -> Result<(), String> {
        *self.0.lock().expect("no holder panics") = None; // waits for a count under way
        Ok(())
    }
}

/// Killed at any point, it leaves the old count or the new one.
fn store(file: &Path, count: u64) -> std::io::Result<()> {
    let fresh = file.with_extension("next");
    let mut next = File::create(&fresh)?;
    writeln!(next, "{count}")?;
    next.sync_all()?;
    fs::rename(&fresh, file)
}

fn main() -> ExitCode {
    let Err(error) = run();
    eprintln!("ha_counter: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<std::convert::Infallible, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, config, name, state, key] = &words[..] else {
        return Err("usage: ha_counter CLUSTER_TOML NODE STATE_DIR KEY_FILE".into());
    };
    let config = Config::from_file(config.as_ref())?;
    let key = ClusterKey::from_file(key.as_ref())?;
    let node = Node::start(NodeOptions::new(config, name, state, key))?;
    let place = Arc::new(Mutex::new(None));
    node.serve("counter", Box::new(Counter(Arc::clone(&place))))?;
    loop {
        node.wait(Duration::from_millis(50))?;
        while let Some(item) = node.take()? {
            if let Item::Notice(notice) = item {
                println!("{notice}");
            }
        }
        if let Some(file) = &*place.lock().expect("no holder panics") {
            let count = if file.exists() { fs::read_to_string(file)?.trim().parse()? } else { 0 };
            let next: u64 = count + 1;
            store(file, next)?;
            println!("count {next}");
        }
    }
}
