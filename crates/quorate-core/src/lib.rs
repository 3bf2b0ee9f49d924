//! The pure engine of quorate: events and a time in, actions out.
