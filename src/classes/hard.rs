//! Names that follow from what the host is: `any linux debian debian_12 x86_64 HOSTNAME cpus_2 linux_6 linux_6_1 ipv4_192_0_2_2`.

use watchd_probes::inventory::Inventory;

/// Addresses that are listed; a host of many containers has hundreds.
const ADDRESSES: usize = 8;

/// The classes of a host. A fact that could not be told gives none.
pub fn names(inventory: &Inventory) -> Vec<String> {
    let mut names = vec!["any".to_owned(), "linux".to_owned()];
    let mut add = |name: String| {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    };
    let distribution = canonify(&inventory.distribution);
    add(distribution.clone());
    if !distribution.is_empty() {
        stems(&distribution, &inventory.release).for_each(&mut add);
    }
    add(canonify(&inventory.architecture));
    add(canonify(inventory.host_name.split('.').next().unwrap_or("")));
    add(canonify(&inventory.host_name));
    if inventory.cpus > 0 {
        add(format!("cpus_{}", inventory.cpus));
    }
    let numbers = inventory.kernel.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next().unwrap_or("");
    stems("linux", numbers).take(2).for_each(&mut add);
    for address in inventory.addresses.iter().take(ADDRESSES) {
        add(of_address(address));
    }
    names
}

/// Networks of the host by their first numbers, which count when a policy names them: `ipv4_192`, `ipv4_192_0`, `ipv4_192_0_2`.
pub fn networks(inventory: &Inventory) -> Vec<String> {
    let version_4 = inventory.addresses.iter().filter(|address| !address.contains(':'));
    version_4.flat_map(|address| stems("ipv4", address)).collect()
}

fn of_address(address: &str) -> String {
    format!("{}_{}", if address.contains(':') { "ipv6" } else { "ipv4" }, canonify(address))
}

/// `debian` and `12.11` give `debian_12` and `debian_12_11`.
fn stems(stem: &str, version: &str) -> impl Iterator<Item = String> {
    let parts: Vec<String> = version.split('.').map(canonify).take_while(|part| !part.is_empty()).collect();
    let stem = stem.to_owned();
    (1..=parts.len()).map(move |count| format!("{stem}_{}", parts.get(..count).unwrap_or(&[]).join("_")))
}

/// A name as classes can carry it: every byte that is not a letter or digit becomes `_`.
pub fn canonify(text: &str) -> String {
    text.bytes().take(64).map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_names_of_its_facts() {
        let inventory = Inventory {
            distribution: "debian".into(),
            release: "12.11".into(),
            kernel: "6.1.0-18-amd64".into(),
            architecture: "x86_64".into(),
            host_name: "web-1.example.org".into(),
            cpus: 2,
            addresses: vec!["192.0.2.2".into(), "2001:db8::2".into()],
        };
        assert_eq!(networks(&inventory), ["ipv4_192", "ipv4_192_0", "ipv4_192_0_2", "ipv4_192_0_2_2"]);
        let expect = [
            "any",
            "linux",
            "debian",
            "debian_12",
            "debian_12_11",
            "x86_64",
            "web_1",
            "web_1_example_org",
            "cpus_2",
            "linux_6",
            "linux_6_1",
            "ipv4_192_0_2_2",
            "ipv6_2001_db8__2",
        ];
        assert_eq!(names(&inventory), expect);
    }

    #[test]
    fn unknown_facts_give_no_names() {
        assert_eq!(names(&Inventory::default()), ["any", "linux"]);
        let odd = Inventory {
            kernel: "rolling".into(),
            release: "12".into(),
            host_name: "linux".into(),
            ..Inventory::default()
        };
        assert_eq!(names(&odd), ["any", "linux"]);
    }
}
