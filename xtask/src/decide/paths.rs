//! Paths as git, packer and people write them, and where a template names some.

/// A path from the top of the repository as one from the packer directory.
pub fn relative(path: &str, prefix: &str) -> String {
    if let Some(rest) = path.strip_prefix(prefix) {
        return rest.to_owned();
    }
    let mut up = String::new();
    let mut folder = prefix.trim_end_matches('/');
    loop {
        up.push_str("../");
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let rest = if folder.is_empty() { Some(path) } else { path.strip_prefix(&format!("{folder}/")) };
        if let Some(rest) = rest {
            return format!("{up}{rest}");
        }
    }
}

/// The other way round: a path from the packer directory as one from the top of the repository.
pub fn absolute(path: &str, prefix: &str) -> String {
    join(prefix, path).unwrap_or_else(|| path.to_owned())
}

/// A path as seen from a folder, without `.` and `..` in its middle; `None` for an absolute one. The folder itself is the
/// empty path.
pub fn join(folder: &str, path: &str) -> Option<String> {
    if path.starts_with(['/', '~']) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Attributes that name files that are read into an image or run while it is built.
pub fn is_path_attribute(name: &str) -> bool {
    matches!(
        name,
        "script"
            | "scripts"
            | "source"
            | "sources"
            | "cd_files"
            | "floppy_files"
            | "floppy_dirs"
            | "http_directory"
            | "playbook_dir"
            | "playbook_file"
            | "playbook_files"
            | "galaxy_file"
            | "roles_path"
            | "user_data_file"
    )
}

/// Functions that read a file or folder.
pub fn is_path_function(name: &str) -> bool {
    matches!(name, "file" | "filebase64" | "templatefile" | "fileset" | "filemd5" | "filesha256" | "abspath")
}

/// Attributes that name a place on the machine that builds, whether or not anything is there.
pub fn is_local_path(attribute: &str) -> bool {
    is_path_attribute(attribute) || ["_directory", "_dir", "_path", "_file"].iter().any(|end| attribute.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined() {
        for (folder, path, joined) in [
            ("templates/x", "../../shared/a", Some("shared/a")),
            ("templates", "./a//b/.", Some("templates/a/b")),
            ("templates", "../..", Some("..")),
            ("", "../../a", Some("../../a")),
            ("templates", "..", Some("")),
            ("", "/etc/passwd", None),
            ("", "~/x", None),
        ] {
            assert_eq!(join(folder, path).as_deref(), joined, "{folder} {path}");
        }
    }

    #[test]
    fn paths_are_seen_from_the_packer_directory() {
        for (path, prefix, seen) in [
            ("a/b", "", "a/b"),
            ("packer/a", "packer/", "a"),
            ("site/a", "packer/", "../site/a"),
            ("x/packer/a", "x/packer/", "a"),
            ("x/site/a", "x/packer/", "../site/a"),
            ("README.md", "x/packer/", "../../README.md"),
        ] {
            assert_eq!(relative(path, prefix), seen, "{path} {prefix}");
            assert_eq!(absolute(seen, prefix), path, "{seen} {prefix}");
        }
    }
}
