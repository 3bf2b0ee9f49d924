//! The `quorate` command, and the laboratory in which its demo and the end-to-end tests run.
//!
//! *Architecture Invariant*: whatever the command does to a cluster it does through the public API
//! of the `quorate` crate. The laboratory runs the command itself, as a user would.

pub mod arguments;
mod ask;
mod configure;
pub mod control;
mod counter;
pub mod demo;
pub mod failure;
mod fencing;
mod import;
mod init;
pub mod lab;
pub mod lun;
mod operate;
mod outcome;
mod page;
mod replay;
mod run;
mod serve;
mod shutdown;
mod signals;
mod simulate;
pub mod torture;
mod what_if;
pub mod writes;

use std::io::{Write as _, stdout};
use std::time::Duration;

use arguments::{Arguments, Ask, Command};
use control::Request;
use failure::{Exit, Failure};

/// Carries out one command line.
///
/// # Errors
/// One line for people, and the exit code.
pub fn carry_out(arguments: Arguments) -> Result<(), Failure> {
    let said = match arguments.command {
        Command::Init(init) => init::init(&init)?,
        Command::Check(check) => init::check(&check)?,
        Command::Import(import) => return import::import(&import),
        Command::Run(run) => {
            log_to_stderr();
            return run::run(&run);
        }
        Command::Status(status) => return ask::status(&status),
        Command::Explain { group, not_on, action, json, ask } => {
            let question = match (action, group.unwrap_or_default(), not_on) {
                (Some(op), _, _) => Request::ExplainAction { op },
                (None, group, Some(node)) => Request::WhyNot { group, node },
                (None, group, None) => Request::Explain { group },
            };
            ask::explain(&ask, &question, json)?
        }
        Command::Operate(operation) => operate::operate(operation)?,
        Command::Config(command) => configure::configure(&command)?,
        Command::Events { json, follow, ask } => return ask::events(&ask, json, follow),
        Command::WhatIf(question) => return what_if::what_if(&question),
        Command::Lun(words) => return lun::lun(&words),
        Command::FenceAgents(words) => return fencing::fence_agents(&words),
        Command::Replay(recording) => return replay::replay(&recording),
        Command::Simulate(simulate) => return simulate::simulate(&simulate),
        Command::Demo(demo) => return demo::demo(&demo),
        Command::Torture(torture) => return torture::torture(&torture),
        Command::GuestCounter { lun, write_logs } => {
            return counter::run(&lun, &write_logs)
                .map_err(|error| Failure::new(Exit::Failed, error.to_string()));
        }
        Command::Move { group, node, to, plan: true, json, ask, .. } => {
            ask::plan(&ask, &Request::PlanMove { group, to: node.or(to) }, json)?
        }
        Command::Drain { node, plan: true, json, ask, .. } => {
            ask::plan(&ask, &Request::PlanDrain { node }, json)?
        }
        asking => {
            let patience = patience(&asking);
            let (ask, request) = request(asking);
            ask::command(&ask, &request, patience)?
        }
    };
    // Who has closed our output has no wish to read it.
    let _ = writeln!(stdout(), "{said}");
    Ok(())
}

/// The request of a command that the cluster carries out.
fn request(command: Command) -> (Ask, Request) {
    match command {
        Command::Move { group, node, to, ask, .. } => {
            (ask, Request::Move { group, to: node.or(to) })
        }
        Command::Online { group, ask, .. } => (ask, Request::Online { group }),
        Command::Offline { group, ask, .. } => (ask, Request::Offline { group }),
        Command::Drain { node, ask, .. } => (ask, Request::Drain { node }),
        Command::Pause { node, ask } => (ask, Request::Pause { node }),
        Command::Resume { node, failback, ask } => (ask, Request::Resume { node, failback }),
        Command::ConfirmFenced { node, reason, ask } => {
            (ask, Request::ConfirmFenced { node, reason })
        }
        other => unreachable!("{other:?} is carried out elsewhere"),
    }
}

/// How long to wait until a command has been carried out; none: not at all.
fn patience(command: &Command) -> Option<Duration> {
    match command {
        Command::Move { wait, .. }
        | Command::Online { wait, .. }
        | Command::Offline { wait, .. }
        | Command::Drain { wait, .. } => wait.map(Duration::from_secs),
        _ => None,
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("QUORATE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second one would be a test's own.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
