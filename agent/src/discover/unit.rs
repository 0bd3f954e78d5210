//! The systemd service that a process belongs to, by the path of its control group
//! (systemd.unit(5), "String Escaping"; `org.freedesktop.systemd1` keeps a group per unit).

/// Services that run what others ask for: their name says nothing about it.
const RUNNERS: [&str; 10] = [
    "cron",
    "crond",
    "atd",
    "ssh",
    "sshd",
    "docker",
    "containerd",
    "kubelet",
    "crio",
    "supervisor",
];

/// From lines of `/proc/<pid>/cgroup`: `number:controllers:path`.
pub(super) fn of_groups(groups: &str) -> Option<String> {
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.filter_map(|path| {
        let mut folders = path.split('/');
        // Those of users are below "user.slice".
        folders.find(|folder| *folder == "system.slice")?;
        let service = folders.find_map(|folder| folder.strip_suffix(".service"))?;
        // An instance of a template: "shop@1".
        let name = unescaped(service.split('@').next()?);
        Some(name).filter(|name| !name.is_empty() && !RUNNERS.contains(&&**name))
    });
    units.next()
}

/// `\x2d` is a dash.
fn unescaped(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                text.push(byte.into());
                text.push_str(&part[2..]);
            }
            None => text.push_str(part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_system_are_named_and_nothing_else() {
        for (groups, expected) in [
            ("0::/system.slice/shop.service\n", Some("shop")),
            (
                "0::/system.slice/system-shop.slice/shop@3.service\n",
                Some("shop"),
            ),
            (
                "0::/system.slice/my\\x2dshop.service/worker\n",
                Some("my-shop"),
            ),
            (
                "12:memory:/system.slice/shop.service\n1:name=systemd:/system.slice/shop.service\n",
                Some("shop"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n",
                None,
            ),
            ("0::/system.slice/docker.service\n", None),
            ("0::/system.slice/docker-0123abc.scope\n", None),
            ("0::/system.slice/ssh.service\n", None),
            ("0::/init.scope\n0::/\n", None),
            ("", None),
        ] {
            assert_eq!(of_groups(groups).as_deref(), expected, "{groups}");
        }
    }
}
