//! The Python module quorate._quorate.
