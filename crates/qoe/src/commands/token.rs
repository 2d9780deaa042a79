//! `qoe token create|list|revoke`. Works on the store, so it needs no running server; one that
//! runs sees the change at once.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use server::store::{Scope, Store, TokenRecord};

use super::places::StoreArgs;
use super::{Context, now_ms, parse_span};
use crate::exit::Outcome;
use crate::output;
use crate::render::table::{Align, table};
use crate::render::units::ABSENT;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token and print it; it can't be shown again
    Create {
        /// The client it speaks for; `*` for any (a gateway, the simulator)
        #[arg(long, value_name = "ID", value_parser = parse_client)]
        client_id: String,
        /// What it allows
        #[arg(long, default_value = "ingest", value_parser = ["ingest", "read", "admin"])]
        scope: String,
        /// How long it is good [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        ttl: Option<Duration>,
    },
    /// Show every token's record, oldest first
    List,
    /// Withdraw a token
    Revoke {
        /// The eight characters after `qoe_`, or the whole token's first part
        id: String,
    },
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let tokens = Store::open(args.store.location(context)?)?.tokens();
    match &args.action {
        Action::Create { client_id, scope, ttl } => {
            let token = tokens.create(client_id, scope.parse::<Scope>()?, *ttl)?;
            output::print(&format!("{token}\n"))?;
        }
        Action::List => output::print(&list(&tokens.list()?, now_ms()))?,
        Action::Revoke { id } => {
            let id = id.strip_prefix("qoe_").unwrap_or(id);
            // Whoever pastes a whole token means its id.
            let id = id.get(..8).unwrap_or(id);
            anyhow::ensure!(tokens.revoke(id)?, "there is no token {id}; see `qoe token list`");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(records: &[TokenRecord], now_ms: i64) -> String {
    if records.is_empty() {
        return "no tokens yet; make one: qoe token create --client-id ID\n".to_owned();
    }
    let columns =
        ["id", "scope", "client", "made", "ends", "state"].map(|title| (title, Align::Left));
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|r| {
            let state = match () {
                () if r.revoked => "revoked",
                () if !r.is_good(now_ms) => "expired",
                () => "good",
            };
            vec![
                r.id.clone(),
                r.scope.to_string(),
                r.client_id.clone(),
                time(r.created_ms),
                r.expires_ms.map_or_else(|| ABSENT.to_owned(), time),
                state.to_owned(),
            ]
        })
        .collect();
    table(&columns, &rows)
}

fn time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// The contract's rule for a client id.
fn parse_client(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    match () {
        () if !(1..=255).contains(&length) => Err("1 to 255 characters".to_owned()),
        () if text.chars().any(char::is_control) => Err("no control characters".to_owned()),
        () => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_still_stands() {
        let record = |id: &str, expires_ms, revoked| TokenRecord {
            id: id.to_owned(),
            sha256: [0; 32],
            client_id: "lab-1".to_owned(),
            scope: Scope::Ingest,
            created_ms: 0,
            expires_ms,
            revoked,
        };
        let records = [
            record("aaaaaaaa", None, false),
            record("bbbbbbbb", Some(60_000), false),
            record("cccccccc", None, true),
        ];
        insta::assert_snapshot!(list(&records, 60_000), @r"
        id        scope   client  made                  ends                  state
        aaaaaaaa  ingest  lab-1   1970-01-01 00:00 UTC  –                     good
        bbbbbbbb  ingest  lab-1   1970-01-01 00:00 UTC  1970-01-01 00:01 UTC  expired
        cccccccc  ingest  lab-1   1970-01-01 00:00 UTC  –                     revoked
        ");
        assert!(list(&[], 0).contains("qoe token create"));
    }

    #[test]
    fn a_client_id_follows_the_contract() {
        assert!(parse_client("lab-1").is_ok());
        assert!(parse_client("").is_err());
        assert!(parse_client("a\nb").is_err());
        assert!(parse_client(&"ü".repeat(256)).is_err());
    }
}
