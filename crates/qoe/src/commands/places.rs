//! The flags that say where things are: the store in a directory or a database, and the bus.
//! Secrets stand in files, since everybody on a machine can read its command lines.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use server::bus::{self, Names};
use server::store::{Location, PostgresSettings};

use super::Context;

/// The store: the data directory of one machine, or a database that many share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The server's data directory [default: $XDG_DATA_HOME/qoe]
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "database_file")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

/// A database that many share.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatabaseArgs {
    /// File with the URL of a PostgreSQL database: postgres://user:password@host/database
    #[arg(long, value_name = "FILE", global = true)]
    database_file: Option<PathBuf>,
    /// Certificates of who may have signed the database server's, PEM [default: the usual ones]
    #[arg(long, value_name = "FILE", global = true)]
    database_ca: Option<PathBuf>,
    /// Take a PostgreSQL with fsync off and a NATS that forgets: for trying things out
    #[arg(long, global = true)]
    pub(crate) allow_data_loss: bool,
}

/// The bus.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BusArgs {
    /// NATS servers: nats://HOST:4222 or tls://HOST:4222, several separated by commas
    #[arg(long = "bus", value_name = "URL", global = true)]
    url: Option<String>,
    /// What to show NATS: its credentials file, or one line `user:password` or a token
    #[arg(long = "bus-credentials", value_name = "FILE", global = true)]
    credentials: Option<PathBuf>,
    /// Certificates of who may have signed the NATS servers', PEM [default: the system's]
    #[arg(long = "bus-ca", value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// What streams and subjects begin with, where several platforms share a server [default: qoe]
    #[arg(long = "bus-prefix", value_name = "NAME", global = true)]
    prefix: Option<String>,
}

impl StoreArgs {
    /// Where the store is: the flags', the settings', or the user's own directory.
    pub(crate) fn location(&self, context: &Context) -> anyhow::Result<Location> {
        match (&self.data_dir, self.database.given(context)?) {
            (None, Some(database)) => Ok(database),
            _ => Ok(Location::Directory(self.directory(context)?)),
        }
    }

    /// Where the store is, if that was said: a directory by its flag, or a database.
    pub(crate) fn given(&self, context: &Context) -> anyhow::Result<Option<Location>> {
        match &self.data_dir {
            Some(_) => self.location(context).map(Some),
            None => self.database.given(context),
        }
    }

    /// The directory of a store on this machine.
    pub(crate) fn directory(&self, context: &Context) -> anyhow::Result<PathBuf> {
        context.data_dir(self.data_dir.clone())
    }
}

impl DatabaseArgs {
    /// The database, which must be given.
    pub(crate) fn location(&self, context: &Context) -> anyhow::Result<Location> {
        self.given(context)?.context(
            "it is not said which database: name a file that holds its URL with --database-file \
             FILE (setting database_file)",
        )
    }

    fn given(&self, context: &Context) -> anyhow::Result<Option<Location>> {
        let settings = &context.settings;
        let Some(file) = self.database_file.as_ref().or(settings.database_file.as_ref()) else {
            return Ok(None);
        };
        let reading = || format!("reading the URL of the database in {}", file.display());
        let url = std::fs::read_to_string(file).with_context(reading)?;
        warn_if_readable(file);
        let ca = self.database_ca.as_ref().or(settings.database_ca.as_ref());
        let database = PostgresSettings::parse(&url, ca.map(PathBuf::as_path));
        let database = database.with_context(reading)?;
        let lossy = allow_data_loss(self.allow_data_loss, context);
        let database = if lossy { database.accept_data_loss() } else { database };
        Ok(Some(Location::from(database)))
    }
}

impl BusArgs {
    /// How the bus is reached, which must be said; `name` is what its list of connections calls us.
    pub(crate) fn connect(
        &self,
        name: &str,
        allow_data_loss: bool,
        context: &Context,
    ) -> anyhow::Result<bus::Connect> {
        self.given(name, allow_data_loss, context)?.context(
            "it is not said which bus: name a NATS server with --bus nats://HOST:4222 (setting bus)",
        )
    }

    /// The same, where it may not be said.
    pub(crate) fn given(
        &self,
        name: &str,
        allow_data_loss: bool,
        context: &Context,
    ) -> anyhow::Result<Option<bus::Connect>> {
        let settings = &context.settings;
        let Some(url) = self.url.as_ref().or(settings.bus.as_ref()) else { return Ok(None) };
        ensure!(
            !url.contains('@'),
            "the URL of the bus holds a name or password, which others can read: put it into a \
             file and name that with --bus-credentials FILE"
        );
        let prefix = self.prefix.as_ref().or(settings.bus_prefix.as_ref());
        let names = match prefix {
            None => Names::default(),
            Some(prefix) => match Names::of(prefix) {
                Some(names) => names,
                None => bail!("bus prefix `{prefix}`: 1 to 32 of a-z, 0-9 and - are wanted"),
            },
        };
        Ok(Some(bus::Connect {
            credentials: self.credentials.clone().or_else(|| settings.bus_credentials.clone()),
            ca: self.ca.clone().or_else(|| settings.bus_ca.clone()),
            name: name.to_owned(),
            names,
            allow_old: self::allow_data_loss(allow_data_loss, context),
            ..bus::Connect::to(url)
        }))
    }
}

fn allow_data_loss(flag: bool, context: &Context) -> bool {
    flag || context.settings.allow_data_loss.unwrap_or(false)
}

/// Where a place is, for people.
pub(crate) fn shown(location: &Location) -> String {
    match location {
        Location::Directory(dir) => dir.display().to_string(),
        Location::Postgres(database) => database.to_string(),
    }
}

/// A password that everybody can read is none.
fn warn_if_readable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(meta) = file.metadata()
        && meta.permissions().mode() & 0o007 != 0
    {
        tracing::warn!("everybody can read {}; chmod o= it", file.display());
    }
}
