//! A whole quorate cluster in one thread with one seed.
