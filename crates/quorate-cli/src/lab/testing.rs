//! What the lab's own tests have in common.

use super::error::command;
use super::ground::Ground;

/// Runs the test of this name again in namespaces, and gives `false`; inside of them gives `true`.
/// Where none are permitted, says so and gives `false`.
pub(super) fn in_namespaces(test: &str) -> bool {
    if Ground::is_inside() {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    match Ground::command(command("setpriv").get_program()) {
        Ok(mut inside) => {
            inside.args(["--pdeathsig", "KILL"]).arg(this);
            let status = inside.args(["--exact", test, "--nocapture"]).status().unwrap();
            assert!(status.success(), "{test} failed in its namespaces");
        }
        Err(why) => println!("skipped, for there are no namespaces here: {why}"),
    }
    false
}
