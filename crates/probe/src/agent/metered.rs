//! Whether the system says that a link is paid for by the byte: NetworkManager's word, by its own
//! `nmcli`. It is asked before a test that loads the line, never for a measurement.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than it has to say.
const MOST_BYTES: u64 = 4_096;

/// Whether an interface is metered, as far as that is told; of a tunnel, whose own link says nothing,
/// the connection that the system leads most of its traffic over.
pub(super) async fn is_metered(interface: &str, tunnel: bool) -> Option<bool> {
    // What looks like an option would be taken as one.
    if interface.starts_with('-') {
        return None;
    }
    let mut command = Command::new("nmcli");
    // Untranslated, and without what libraries may be told to load or to say.
    command.env("LC_ALL", "C").args(["--terse", "--fields"]);
    if tunnel {
        command.args(["METERED", "general"]);
    } else {
        command.args(["GENERAL.METERED", "device", "show", interface]);
    }
    ask(command, PATIENCE).await.as_deref().and_then(told)
}

/// What a program says on its standard output, if it ends well and in time.
async fn ask(mut command: Command, patience: Duration) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let asking = async {
        let mut child = command.spawn().ok()?;
        let mut said = String::new();
        child.stdout.take()?.take(MOST_BYTES).read_to_string(&mut said).await.ok()?;
        child.wait().await.ok()?.success().then_some(said)
    };
    tokio::time::timeout(patience, asking).await.ok()?
}

/// Reads `GENERAL.METERED:yes (guessed)`, or the same without its name. A guess is as good: it comes
/// from what the other side of the link says of itself.
fn told(said: &str) -> Option<bool> {
    let line = said.lines().next()?;
    let value = line.rsplit_once(':').map_or(line, |(_, value)| value);
    match value.split_whitespace().next() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_read_and_what_is_unknown_is_not_told() {
        for (said, metered) in [
            ("GENERAL.METERED:yes\n", Some(true)),
            ("GENERAL.METERED:yes (guessed)\n", Some(true)),
            ("yes (guessed)\n", Some(true)),
            ("GENERAL.METERED:no (guessed)\n", Some(false)),
            ("no\n", Some(false)),
            ("GENERAL.METERED:unknown\n", None),
            ("GENERAL.METERED:\n", None),
            ("yesterday\n", None),
            ("", None),
        ] {
            assert_eq!(told(said), metered, "{said:?}");
        }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_program_that_fails_is_not_there_or_never_ends_says_nothing() {
        let long = Duration::from_secs(20);
        assert_eq!(ask(shell("echo yes"), long).await.as_deref(), Some("yes\n"));
        assert_eq!(ask(shell("echo yes; exit 8"), long).await, None);
        assert_eq!(ask(Command::new("/not/there"), long).await, None);
        let bytes = ask(shell("yes | head -c 4096"), long).await.map(|said| said.len());
        assert_eq!(bytes, Some(4_096));
        // It would be waited for in vain.
        assert_eq!(ask(shell("exec sleep 3600"), Duration::from_millis(50)).await, None);
        assert_eq!(is_metered("--help", false).await, None);
    }
}
