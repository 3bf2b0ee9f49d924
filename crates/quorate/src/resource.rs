//! Resource types of one's own, in Rust: a trait instead of the poll interface.

use crate::item::Request;

/// A resource that the host runs, for `Node::serve`.
///
/// Calls come one at a time on a thread of its own, and may block for `Request::timeout`; only
/// `kill` may come from another thread while one of them is under way. An `Err` says for people why
/// not.
pub trait Resource: Send + Sync + 'static {
    /// Starts it afresh.
    ///
    /// # Errors
    /// Nothing of it may run then.
    fn start(&self, request: &Request) -> Result<(), String>;

    /// Stops it in order within `request.timeout`.
    ///
    /// # Errors
    /// It may still run; it will be killed.
    fn stop(&self, request: &Request) -> Result<(), String>;

    /// Ends it now. Returns when nothing of it runs; also when nothing did.
    ///
    /// # Errors
    /// It may still run: no other node may take it over.
    fn kill(&self, request: &Request) -> Result<(), String>;

    /// Halts it, writes its state to `request.state`, and ends it here. Needed for `save_on_move`
    /// only.
    ///
    /// # Errors
    /// It will be killed, and started afresh at its new place.
    fn save(&self, request: &Request) -> Result<(), String> {
        Err(format!("{} cannot be saved", request.resource))
    }

    /// Loads what `save` wrote from `request.state`, and lets it not run yet.
    ///
    /// # Errors
    /// Nothing of it may run then; it will be started afresh.
    fn load(&self, request: &Request) -> Result<(), String> {
        Err(format!("{} cannot be loaded", request.resource))
    }

    /// Lets what was loaded run.
    ///
    /// # Errors
    /// Nothing of it may run then.
    fn run(&self, request: &Request) -> Result<(), String> {
        Err(format!("{} cannot be loaded", request.resource))
    }
}
