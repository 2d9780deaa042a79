//! To come.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, _context: &super::Context) -> crate::exit::Outcome {
    anyhow::bail!("not built yet")
}
