//! What crosses crates, languages and processes.
