//! The C interface of quorate.
