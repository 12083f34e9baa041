//! What the type of a mount says: whether it has space at all, and whether asking for it may hang.
//!
//! Only the types listed as local are asked in the turn. Everything else that is not known to be without space (network, FUSE,
//! cluster, and types nobody has heard of) may wait for another machine or process for ever, and is foreign.

/// How a file system may be asked for its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Answers from memory or from a disk of this host. `overlay` counts, though its layers may lie elsewhere.
    Local,
    /// May hang; somebody with a deadline has to ask.
    Foreign,
    /// Has no space to speak of.
    Pseudo,
    /// Mounts others when it is touched.
    Automount,
}

const LOCAL: &[&[u8]] = &[
    b"adfs",
    b"affs",
    b"bcachefs",
    b"befs",
    b"bfs",
    b"btrfs",
    b"cramfs",
    b"devtmpfs",
    b"ecryptfs",
    b"efivarfs",
    b"erofs",
    b"exfat",
    b"ext2",
    b"ext3",
    b"ext4",
    b"f2fs",
    b"hfs",
    b"hfsplus",
    b"hugetlbfs",
    b"iso9660",
    b"jffs2",
    b"jfs",
    b"minix",
    b"msdos",
    b"nilfs2",
    b"ntfs",
    b"ntfs3",
    b"omfs",
    b"overlay",
    b"qnx4",
    b"qnx6",
    b"ramfs",
    b"reiserfs",
    b"romfs",
    b"rootfs",
    b"simfs",
    b"squashfs",
    b"sysv",
    b"tmpfs",
    b"ubifs",
    b"udf",
    b"ufs",
    b"vfat",
    b"xfs",
    b"zfs",
    b"zonefs",
];

const PSEUDO: &[&[u8]] = &[
    b"bdev",
    b"binder",
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"cpuset",
    b"debugfs",
    b"devfs",
    b"devpts",
    b"fuse.gvfsd-fuse",
    b"fuse.portal",
    b"fusectl",
    b"ignore",
    b"kernfs",
    b"mqueue",
    b"nfsd",
    b"nsfs",
    b"pipefs",
    b"proc",
    b"pstore",
    b"resctrl",
    b"rpc_pipefs",
    b"securityfs",
    b"selinuxfs",
    b"smackfs",
    b"sockfs",
    b"subfs",
    b"sysfs",
    b"tracefs",
    b"usbfs",
];

impl Kind {
    pub fn of(fstype: &[u8]) -> Self {
        if LOCAL.contains(&fstype) {
            Self::Local
        } else if PSEUDO.contains(&fstype) {
            Self::Pseudo
        } else if fstype == b"autofs" {
            Self::Automount
        } else {
            Self::Foreign
        }
    }
}

/// Whether `df -l` would call this mount remote: told by its source (`server:/export`, `//server/share`) or its type.
pub fn is_remote(device: &[u8], fstype: &[u8]) -> bool {
    const SHARES: &[&[u8]] = &[b"smbfs", b"smb3", b"cifs"];
    const CLUSTERS: &[&[u8]] =
        &[b"acfs", b"afs", b"coda", b"auristorfs", b"fhgfs", b"gpfs", b"ibrix", b"ocfs2", b"vxfs"];
    device.contains(&b':')
        || (device.starts_with(b"//") && SHARES.contains(&fstype))
        || device == b"-hosts"
        || CLUSTERS.contains(&fstype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_local_is_asked_in_the_turn() {
        for (fstype, kind) in [
            ("ext4", Kind::Local),
            ("tmpfs", Kind::Local),
            ("nfs4", Kind::Foreign),
            ("fuse.sshfs", Kind::Foreign),
            ("fuseblk", Kind::Foreign),
            ("somethingnew", Kind::Foreign),
            ("", Kind::Foreign),
            ("cgroup2", Kind::Pseudo),
            ("autofs", Kind::Automount),
        ] {
            assert_eq!(Kind::of(fstype.as_bytes()), kind, "{fstype}");
        }
    }

    #[test]
    fn a_source_with_a_colon_or_a_share_is_remote() {
        for (device, fstype, expect) in [
            ("server:/export", "nfs4", true),
            ("//server/share", "cifs", true),
            ("//server/share", "ext4", false),
            ("/dev/sda1", "ext4", false),
            ("/dev/sda1", "ocfs2", true),
            ("-hosts", "autofs", true),
        ] {
            assert_eq!(is_remote(device.as_bytes(), fstype.as_bytes()), expect, "{device} {fstype}");
        }
    }
}
