//! Has build dependencies, and nothing else.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
