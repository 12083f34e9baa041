//! Tells the linker which functions run together, so that they lie together (`benches/order/record`).
//!
//! Only lld takes such a list, which links by default here; with any other linker the program is the same, but more of it is resident.

fn main() {
    const ORDER: &str = "benches/order/functions.txt";
    println!("cargo::rerun-if-changed={ORDER}");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let has_lld = variable("TARGET") == "x86_64-unknown-linux-gnu";
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let is_other = ["linker=", "fuse-ld", "link-self-contained"].iter().any(|flag| flags.contains(flag));
    if has_lld && !is_other && std::env::var_os("RUSTC_LINKER").is_none() {
        let path = std::path::Path::new(&variable("CARGO_MANIFEST_DIR")).join(ORDER);
        println!("cargo::rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", path.display());
        println!("cargo::rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    }
}
