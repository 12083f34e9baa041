//! watchd on a machine of its own: Debian's kernel, busybox, 128 MB, and what only a whole machine can do. It sleeps, it runs out of memory, its
//! watchdog bites, its power goes.
//!
//! Needs qemu-system-x86_64, a static busybox, and a kernel: the newest of /boot, or the one that `WATCHD_VM_KERNEL` names, with its modules
//! in ../lib/modules. The kernel's processor is emulated where the host lends none, so nothing here is timed.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Scratch, binary, copied, is_release, pause, script, skip};

/// A machine may take so long for a story.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a machine is made of.
struct Parts {
    scratch: Scratch,
    kernel: PathBuf,
    disk: Option<PathBuf>,
}

/// A machine that runs.
struct Machine {
    qemu: Child,
    console: PathBuf,
}

impl Parts {
    /// Packs a story with the modules that it needs, in order, each perhaps with options; none, loudly, where something is missing.
    fn new(name: &str, story: &str, modules: &[&str]) -> Option<Self> {
        let (Some(kernel), true, true) = (kernel(), is_there("qemu-system-x86_64"), is_static(&find("busybox"))) else {
            skip(
                "there is no qemu-system-x86_64, static busybox or kernel (packages qemu-system-x86, busybox-static, linux-image-cloud-amd64)",
            );
            return None;
        };
        let scratch = Scratch::new(name);
        for dir in ["proc", "sys", "dev", "run", "tmp", "bin", "etc", "root", "modules", "var/lib", "var/run", "disk"] {
            scratch.dir_of(&format!("root/{dir}"), None);
        }
        script(&scratch.path("root/init"), include_str!("vm/init"));
        scratch.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
        scratch.write("root/etc/group", "root:x:0:\nnogroup:x:65534:\n");
        copied(find("busybox"), &scratch.path("root/bin/busybox"));
        let program = scratch.path("root/bin/watchd");
        copied(binary(), &program);
        // What a debugger needs does not fit into this machine.
        let _ = Command::new("strip").arg(&program).status();
        let mut loads = String::new();
        for module in modules {
            let (name, options) = module.split_once(' ').unwrap_or((module, ""));
            pack(&kernel, name, options, &scratch.path("root/modules"), &mut loads);
        }
        scratch.write("root/story", &(loads + story));
        let packed = Command::new("sh")
            .args(["-c", "cd \"$1\" && find . | busybox cpio -o -H newc > ../initrd", "sh"])
            .arg(scratch.path("root"))
            .stderr(Stdio::null())
            .status();
        assert!(packed.is_ok_and(|status| status.success()), "the machine's files can be packed");
        Some(Self { scratch, kernel, disk: None })
    }

    /// With a disk of so many MiB, which outlives the machine.
    fn with_disk(mut self, mib: u64) -> Self {
        let disk = self.scratch.path("disk.img");
        fs::File::create(&disk).and_then(|file| file.set_len(mib << 20)).expect("there is room");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk).status();
        assert!(made.is_ok_and(|status| status.success()), "every Debian has mkfs.ext4");
        self.disk = Some(disk);
        self
    }

    /// `word` is told to the kernel, and to the story as a variable.
    fn boot(&self, word: &str) -> Machine {
        let console = self.scratch.path("console");
        let _ = fs::remove_file(&console);
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-m", "128", "-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none", "-serial"]);
        qemu.arg(format!("file:{}", console.display()));
        qemu.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(self.scratch.path("initrd"));
        qemu.args(["-append", &format!("console=ttyS0 quiet panic=-1 {word}")]);
        if let Some(disk) = &self.disk {
            qemu.args(["-drive", &format!("file={},format=raw,if=virtio", disk.display())]);
        }
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("qemu can be run");
        Machine { qemu, console }
    }

    /// A whole story: everything that was said until the machine switched itself off.
    fn play(&self) -> String {
        let said = self.boot("").end();
        assert!(said.contains("END done"), "{said}");
        said
    }
}

impl Machine {
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Looks until the machine has said this.
    fn wait_for(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if said.contains(part) {
                return said;
            }
            let is_over = self.qemu.try_wait().expect("it is our child").is_some();
            assert!(!is_over && Instant::now() < end, "it never said {part}:\n{said}");
            pause(Duration::from_millis(20));
        }
    }

    /// Waits until it is off.
    fn end(mut self) -> String {
        let end = Instant::now() + PATIENCE;
        while self.qemu.try_wait().expect("it is our child").is_none() {
            assert!(Instant::now() < end, "it goes on and on:\n{}", self.said());
            pause(Duration::from_millis(50));
        }
        self.said()
    }

    /// Somebody pulls the plug.
    fn cut(mut self) -> String {
        self.qemu.kill().expect("it is our child");
        self.qemu.wait().expect("it is our child");
        self.said()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn find(program: &str) -> PathBuf {
    let dirs = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].into_iter();
    dirs.map(|dir| Path::new(dir).join(program)).find(|path| path.exists()).unwrap_or_default()
}

fn is_there(program: &str) -> bool {
    find(program) != PathBuf::new()
}

/// Whether it needs nothing else to run.
fn is_static(program: &Path) -> bool {
    let loader = b"/ld-linux";
    fs::read(program).is_ok_and(|bytes| !bytes.windows(loader.len()).any(|part| part == loader))
}

fn kernel() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WATCHD_VM_KERNEL") {
        return Some(PathBuf::from(named));
    }
    let boot = fs::read_dir("/boot").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    boot.filter(|path| path.to_string_lossy().contains("/vmlinuz-")).max()
}

/// Packs a module of this kernel, and before it those that it says it needs; `loads` says how they are loaded.
fn pack(kernel: &Path, module: &str, options: &str, to: &Path, loads: &mut String) {
    if to.join(module).exists() {
        return;
    }
    let bytes = fs::read(module_of(kernel, module)).expect(module);
    let text = String::from_utf8_lossy(&bytes);
    let needs = text.split('\0').find_map(|part| part.strip_prefix("depends=")).unwrap_or_default();
    for need in needs.split(',').filter(|need| !need.is_empty()) {
        pack(kernel, need, "", to, loads);
    }
    fs::write(to.join(module), bytes).expect("there is room");
    *loads += &format!("insmod /modules/{module} {options} || end no {module}\n");
}

/// Where a kernel that was unpacked or installed has this module.
fn module_of(kernel: &Path, module: &str) -> PathBuf {
    let name = kernel.file_name().and_then(|name| name.to_str()).expect("it has a name");
    let version = name.strip_prefix("vmlinuz-").expect("kernels are called so");
    let modules = kernel.parent().and_then(Path::parent).expect("it lies in a boot").join("lib/modules").join(version);
    let found = Command::new("find")
        .arg(&modules)
        .args(["-name", &format!("{module}.ko")])
        .output()
        .expect("every Linux has it");
    PathBuf::from(String::from_utf8_lossy(&found.stdout).lines().next().unwrap_or_else(|| panic!("no {module}")))
}

/// What was said in the only line that begins with this word.
fn told<'a>(said: &'a str, word: &str) -> &'a str {
    let mut lines = said.lines().filter_map(|line| line.trim_end().strip_prefix(word)?.strip_prefix(' '));
    lines.next().unwrap_or_else(|| panic!("nothing about {word}:\n{said}"))
}

fn number(said: &str, word: &str) -> u64 {
    told(said, word).trim().parse().unwrap_or_else(|_| panic!("no number for {word}:\n{said}"))
}

#[test]
fn a_small_machine_is_kept() {
    let story = r#"
cat > /etc/watchd.toml <<X
[watchd]
cycle = "1s"
[http]
listen = ["127.0.0.1:9100"]
[process.plain]
run = ["/bin/sleep", "100000"]
[process.parent]
run = ["/bin/sh", "-c", "setsid sh -c 'sleep 200000 & sleep 300000 & wait' & exec sleep 400000"]
[process.leak]
run = ["/bin/sh", "-c", "[ -e /full ] || exec sleep 500000; rm /full; exec tail /dev/zero"]
backoff = ["200ms", "1s"]
X
watchd run --config /etc/watchd.toml > /tmp/said 2>&1 &
until_so state_of plain ready
until_so state_of parent ready
until_so state_of leak ready
group=$(echo /sys/fs/cgroup/watchd-*)
echo GROUPS $(ls -d $group/*/ | wc -l)
echo OWN $(cat $group/plain/cgroup.procs) is $(pid_of plain)
until_so sh -c "[ \$(wc -l < $group/parent/cgroup.procs) -ge 4 ]"
old=$(cat $group/parent/cgroup.procs)
watchd restart parent
until_so sh -c "[ \$(wc -l < $group/parent/cgroup.procs) -ge 4 ]"
left=0
for pid in $old; do [ ! -e /proc/$pid ] || left=$((left + 1)); done
echo LEFT $left of $(echo $old | wc -w)
touch /full
kill -9 $(pid_of leak)
until_so sh -c 'dmesg | grep -q "Out of memory: Killed process"'
until_so state_of leak ready
echo KILLED $(dmesg | sed -n 's/.*Out of memory: Killed process [0-9]* (\([^)]*\)).*/\1/p')
echo FAILED $(watchd events | grep -cE 'probe-failed|trouble|unwritable')
until_so sh -c 'wget -q -O /tmp/page http://127.0.0.1:9100/metrics'
echo TOLD $(watchd events | grep -c 'leak: killed by the kernel, which ran out of memory, after')
echo BYHAND $(watchd events | grep -c 'leak: killed by signal 9 after')
echo COUNTED $(sed -n 's/^node_vmstat_oom_kill //p' /tmp/page)
peak=0
for pid in $(pidof watchd); do peak=$((peak + $(sed -n 's/VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status))); done
echo PEAK $peak
"#;
    let Some(parts) = Parts::new("small", story, &[]) else { return };
    let said = parts.play();
    assert_eq!(number(&said, "GROUPS"), 3, "{said}");
    let own: Vec<&str> = told(&said, "OWN").split(" is ").collect();
    assert_eq!(own[0], own[1], "{said}");
    assert!(told(&said, "LEFT").starts_with("0 of 4"), "{said}");
    assert_eq!(told(&said, "KILLED"), "tail", "{said}");
    assert_eq!(number(&said, "FAILED"), 0, "{said}");
    // A death is told twice: that it died, and why it is started.
    assert_eq!((number(&said, "TOLD"), number(&said, "BYHAND")), (2, 2), "{said}");
    assert_eq!(number(&said, "COUNTED"), 1, "{said}");
    if is_release() {
        assert!(number(&said, "PEAK") < 2929, "{said}");
    }
}

#[test]
fn a_machine_that_sleeps_is_not_mistaken() {
    let story = r#"
cat > /etc/watchd.toml <<X
[watchd]
cycle = "1s"
switches = ["away"]
[process.plain]
run = ["/bin/sleep", "100000"]
[process.beats]
run = ["/bin/sh", "-c", "while :; do touch /run/beat; sleep 1; done"]
check = [{ fresh = { path = "/run/beat", within = "10s" }, every = "1s", fails = 2 }]
[process.held]
run = ["/bin/sleep", "200000"]
[command.often]
run = ["/bin/sh", "-c", "echo x >> /run/often"]
every = "15s"
X
watchd run --config /etc/watchd.toml > /tmp/said 2>&1 &
until_so state_of plain ready
until_so state_of beats ready
until_so state_of held ready
watchd pause held --for 30s
watchd class set away --for 30s
before="$(pidof watchd) $(pid_of plain) $(pid_of beats)"
ran=$(wc -l < /run/often)
echo deep > /sys/power/mem_sleep
echo +60 > /sys/class/rtc/rtc0/wakealarm
a=$(cut -d. -f1 /proc/uptime)
echo mem > /sys/power/state
b=$(cut -d. -f1 /proc/uptime)
echo SLEPT $((b - a))
watchd keepalive --config /etc/watchd.toml
echo KEEPALIVE $?
until_so state_of held ready
sleep 4
echo SAME "$before" is "$(pidof watchd) $(pid_of plain) $(pid_of beats)"
echo RAN $(($(wc -l < /run/often) - ran))
echo AWAY $(watchd class list | grep -c '^away')
echo ILL $(watchd events | grep -cE 'service-(died|unhealthy)|trouble|failed|[a-z]+-(late|stalled)')
echo VALUES $(watchd history load.one --since $((b - a))s --csv | grep -c '^20')
"#;
    let Some(parts) = Parts::new("sleeps", story, &[]) else { return };
    let said = parts.play();
    assert!((55..=75).contains(&number(&said, "SLEPT")), "{said}");
    assert_eq!(number(&said, "KEEPALIVE"), 0, "{said}");
    let same: Vec<&str> = told(&said, "SAME").split(" is ").collect();
    assert_eq!(same[0], same[1], "nothing was started anew: {said}");
    assert_eq!(number(&said, "RAN"), 1, "four times were slept through: {said}");
    assert_eq!((number(&said, "AWAY"), number(&said, "ILL")), (0, 0), "{said}");
    assert!(number(&said, "VALUES") <= 2, "nothing is made up for the time asleep: {said}");
}

#[test]
fn a_machine_is_reset_when_watchd_stands_still() {
    let story = r#"
cat > /etc/watchd.toml <<X
[watchd]
cycle = "1s"
watchdog-device = "/dev/watchdog"
[process.plain]
run = ["/bin/sleep", "100000"]
X
start() {
    watchd run --config /etc/watchd.toml > /tmp/said 2>&1 &
    until_so state_of plain ready
}
start
sleep 12
echo FED while it turned
kill -USR2 $(pidof watchd)
sleep 12
echo GOES ON in a new program
watchd shutdown
until_so sh -c '! pidof watchd'
sleep 12
echo OFF after an end on purpose
start
sleep 3
kill -STOP $(pidof watchd)
echo STANDS still
sleep 100
"#;
    // It bites after 60 s if nobody says otherwise; here after 5.
    let Some(parts) = Parts::new("reset", story, &["softdog soft_margin=5"]) else { return };
    let said = parts.boot("").end();
    for part in ["FED", "GOES ON", "OFF", "STANDS"] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert!(!said.contains("END") && said.contains("softdog: Initiating system reboot"), "{said}");
}

#[test]
fn what_was_remembered_outlives_the_power() {
    let story = r#"
until_so test -b /dev/vda
mount -t ext4 /dev/vda /disk || end no disk
cat > /etc/watchd.toml <<X
[watchd]
cycle = "100ms"
switches = ["away"]
[process.plain]
run = ["/bin/sleep", "100000"]
[process.moved]
run = ["/bin/sleep", "150000"]
[process.dies]
run = ["/bin/sleep", "0.5"]
backoff = ["200ms", "1s"]
[process.held]
run = ["/bin/sleep", "200000"]
[process.halted]
run = ["/bin/sleep", "300000"]
[command.often]
run = ["/bin/true"]
every = "2s"
X
W="--state-dir /disk/watchd"
watchd run --config /etc/watchd.toml $W > /tmp/said 2>&1 &
until_so state_of plain ready
if [ $boot = 0 ]; then
    watchd pause held $W
    watchd stop halted $W
    watchd class set away $W
    until_so state_of held paused
    until_so state_of halted stopped
fi
echo HELD $(watchd status | grep -c '^held .* paused')
echo HALTED $(watchd status | grep -c '^halted .* stopped')
echo AWAY $(watchd class list | grep -c '^away')
echo DAMAGED $(grep -ciE 'damaged|spoiled|unwritable|cannot' /tmp/said)
grep -iE 'damaged|spoiled|unwritable|cannot' /tmp/said
# What is counted here is on the disk before the power goes; of what the first boot wrote nothing need be.
if [ $boot = 0 ]; then
    echo HISTORY 0
else
    echo HISTORY $(watchd history load.one $W --since 1h --csv | grep -c '^20')
    sync
fi
number=0
while :; do
    echo TURN $number
    number=$((number + 1))
    watchd pause moved $W > /dev/null
    watchd resume moved $W > /dev/null
    watchd class set away $W > /dev/null
    usleep 50000
done
"#;
    let Some(parts) = Parts::new("power", story, &["virtio_pci", "virtio_blk"]) else { return };
    let parts = parts.with_disk(64);
    let mut history = 0;
    for (boot, turns) in [0, 3, 17, 29, 8].into_iter().enumerate() {
        let mut machine = parts.boot(&format!("boot={boot}"));
        machine.wait_for(&format!("TURN {turns}"));
        let said = machine.cut();
        for word in ["HELD", "HALTED", "AWAY"] {
            assert_eq!(number(&said, word), 1, "{said}");
        }
        assert_eq!(number(&said, "DAMAGED"), 0, "{said}");
        assert!(number(&said, "HISTORY") >= history, "{said}");
        history = number(&said, "HISTORY");
    }
}
