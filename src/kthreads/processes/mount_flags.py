"""The flags of mount(2) (linux/mount.h)."""

__all__ = ["MS_BIND", "MS_NODEV", "MS_NOEXEC", "MS_NOSUID", "MS_PRIVATE", "MS_REC", "MS_SHARED", "MS_SLAVE"]

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 12, 1 << 14, 1 << 18, 1 << 19, 1 << 20
