//! Finds libiscsi. Its absence is not an error: the driver is compiled out and says so when it is
//! opened.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(quorate_libiscsi)");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_ISCSI").is_none() {
        return;
    }
    match pkg_config::Config::new().atleast_version("1.18").probe("libiscsi") {
        Ok(_) => println!("cargo:rustc-cfg=quorate_libiscsi"),
        Err(_) => println!(
            "cargo:warning=built without the iscsi driver: apt-get install libiscsi-dev and rebuild"
        ),
    }
}
