//! The two ways to a node that nobody can listen to, each with a real Munin master: through ssh, and through stunnel.
//!
//! Keys are made for the test and lie in its directory; everything listens on this host alone and ends with the test.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::{Gid, Uid, chown};

use super::munin::{EXPECTED, HOST, complaints, configure_with, databases, is_filled, master, run};
use super::{Told, find, net};
use crate::harness::{is_root, skip, until};

const SSHD: &str = "/usr/sbin/sshd";

/// A server that ends with the test.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, said: &Path) -> Self {
        let said = fs::File::create(said).expect("a file can be made");
        let also = said.try_clone().expect("it can be opened twice");
        Self(command.stdin(Stdio::null()).stdout(said).stderr(also).spawn().expect("it can be started"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn made(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Polls once, and looks whether everything arrived.
fn poll(update: &str, place: &Path, config: &Path, said: &Path) {
    run(update, config);
    let complaints = complaints(&place.join("log"));
    let said = fs::read_to_string(said).unwrap_or_default();
    assert!(complaints.is_empty(), "{}\n{said}", complaints.join("\n"));
    let databases = databases(place);
    for (plugin, field) in EXPECTED {
        assert!(is_filled(&databases, &format!("{HOST}-{plugin}-{field}-")), "{plugin}.{field}: {databases:?}");
    }
}

#[test]
fn a_munin_master_comes_through_ssh() {
    let (Some(update), Some(ssh)) = (find("munin-update"), find("ssh")) else {
        return skip("there is no Munin master or no ssh (packages munin, openssh-client)");
    };
    if !Path::new(SSHD).exists() || !is_root() {
        return skip(
            "there is no sshd to start, or it could not become the account of the master (package openssh-server)",
        );
    }
    let told = Told::new("ssh");
    let _daemon = told.start();
    let place = told.home.scratch.dir_of("master", None);
    let keys = told.home.scratch.dir_of("keys", None);
    let key = |name: &str| {
        let file = keys.join(name);
        let mut command = Command::new(find("ssh-keygen").expect("it comes with ssh"));
        made(command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file));
        let public = fs::read_to_string(keys.join(format!("{name}.pub"))).expect("it was made");
        (file, public.trim().to_owned())
    };
    let ((host, host_public), (own, own_public)) = (key("host"), key("own"));
    if let Some((uid, gid)) = master() {
        chown(&own, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).expect("root may");
    }
    let port = net::free_port();
    let words = |command: &Command| {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    // As contrib/munin/README.md has it: a key that may do nothing else.
    let node = words(&told.home.command(&["munin", "--stdio"]));
    fs::write(keys.join("authorized"), format!("command=\"{node}\",restrict {own_public}\n"))
        .expect("it can be written");
    fs::write(keys.join("known"), format!("[127.0.0.1]:{port} {host_public}\n")).expect("it can be written");
    let sshd = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin forced-commands-only\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd yes\n",
        host.display(),
        keys.join("authorized").display()
    );
    fs::write(keys.join("sshd"), sshd).expect("it can be written");
    // Where sshd without an init system has no directory to be shut in.
    fs::create_dir_all("/run/sshd").expect("root may");
    let said = keys.join("said");
    let _sshd = Server::start(Command::new(SSHD).args(["-D", "-e", "-f"]).arg(keys.join("sshd")), &said);
    until("sshd", || TcpStream::connect(("127.0.0.1", port)).ok());
    let config = configure_with(
        &place,
        &format!(
            "ssh_command {ssh}\nssh_options -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={} -o GlobalKnownHostsFile=none \
             -o StrictHostKeyChecking=yes -F none\n",
            own.display(),
            keys.join("known").display()
        ),
        &format!("address ssh://root@127.0.0.1:{port}/watchd munin --stdio"),
    );
    poll(&update, &place, &config, &said);
}

#[test]
fn a_munin_master_comes_through_stunnel() {
    let (Some(update), Some(stunnel), Some(openssl)) = (find("munin-update"), find("stunnel4"), find("openssl")) else {
        return skip("there is no Munin master or no stunnel (packages munin, stunnel4, openssl)");
    };
    let told = Told::new("stunnel");
    let _daemon = told.start();
    let place = told.home.scratch.dir_of("master", None);
    let keys = told.home.scratch.dir_of("keys", None);
    let pem = |name: &str| -> PathBuf {
        let file = keys.join(format!("{name}.pem"));
        let (key, certificate) = (keys.join("key"), keys.join("certificate"));
        let mut command = Command::new(&openssl);
        command.args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ]);
        made(command.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(&key).arg("-out").arg(&certificate));
        let text = [&key, &certificate].map(|part| fs::read_to_string(part).expect("it was made")).concat();
        fs::write(&file, text).expect("it can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        file
    };
    let (node, own, stranger) = (pem("node"), pem("master"), pem("stranger"));
    let [at_node, at_master, at_stranger] = [net::free_port(), net::free_port(), net::free_port()];
    let tunnel = |name: &str, lines: String| {
        let file = keys.join(name);
        fs::write(&file, format!("foreground = yes\npid =\nsyslog = no\ndebug = notice\n[munin]\n{lines}"))
            .expect("it can be written");
        Server::start(Command::new(&stunnel).arg(&file), &keys.join(format!("{name}.said")))
    };
    let server = |port: u16| until("stunnel", || TcpStream::connect(("127.0.0.1", port)).ok());
    // As contrib/munin/README.md has it.
    let _node = tunnel(
        "server",
        format!(
            "accept = 127.0.0.1:{at_node}\nconnect = 127.0.0.1:{}\ncert = {}\nCAfile = {}\nverifyPeer = yes\n",
            told.munin,
            node.display(),
            own.display()
        ),
    );
    server(at_node);
    let client = |name: &str, port: u16, cert: &Path| {
        let lines = format!(
            "client = yes\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{at_node}\ncert = {}\nCAfile = {}\nverifyPeer = yes\n",
            cert.display(),
            node.display()
        );
        tunnel(name, lines)
    };
    let (_master, _stranger) = (client("client", at_master, &own), client("stranger", at_stranger, &stranger));
    server(at_master);
    server(at_stranger);
    let config = configure_with(&place, "", &format!("address 127.0.0.1\n  port {at_master}"));
    poll(&update, &place, &config, &keys.join("server.said"));
    // Neither who speaks in clear nor who has another key hears a word of it.
    for port in [at_node, at_stranger] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it can be set");
        let _ = stream.write_all(b"nodes\n");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert!(!String::from_utf8_lossy(&heard).contains("munin node"), "{}", String::from_utf8_lossy(&heard));
    }
}
