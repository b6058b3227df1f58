//! The settings as flags: made from the table, so that no setting lacks one.
//!
//! Values stay text: they are judged together with those of the other layers.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use super::{
    layers::defaults,
    spec::{SPECS, Scope},
};

/// Settings given as flags, by key. `CHAT` and `COMMERCE` add those of commands that read events of that pipeline,
/// `STORES` those of commands that open the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags<const STORES: bool, const CHAT: bool, const COMMERCE: bool>(pub Vec<(&'static str, String)>);

/// For commands that read chat into the store.
pub type ChatFlags = Flags<true, true, false>;
/// For commands that read shop events into the store.
pub type CommerceFlags = Flags<true, false, true>;
/// For commands that open the store only.
pub type StoreFlags = Flags<true, false, false>;
/// For commands that do none of it.
pub type PlainFlags = Flags<false, false, false>;

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool> Flags<STORES, CHAT, COMMERCE> {
    fn has(scope: Scope, key: &str) -> bool {
        match scope {
            Scope::Every => true,
            Scope::Store => STORES,
            Scope::Pipeline => CHAT || COMMERCE,
            Scope::Chat => CHAT,
            Scope::Commerce => COMMERCE,
            // Known, so that asking for them is answered in words; hidden from the help.
            Scope::Later => match key {
                "kafka" => CHAT || COMMERCE,
                "chat_topic" | "viewer_topic" => CHAT,
                _ => false,
            },
            Scope::Secret | Scope::Accepted => false,
        }
    }
}

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool> Args for Flags<STORES, CHAT, COMMERCE> {
    fn augment_args(mut command: Command) -> Command {
        let defaults = defaults();
        for spec in SPECS.iter().filter(|spec| Self::has(spec.scope, spec.key)) {
            let default =
                defaults.get(spec.key).map_or(String::new(), |raw| format!(" [default: {}]", raw.text));
            let help = format!("{} [env: {}]{default}", spec.help, spec.env);
            let arg = Arg::new(spec.key).long(spec.flag()).value_name(spec.value).help(help);
            let later = spec.scope == Scope::Later;
            command = command.arg(arg.hide(later).help_heading("Settings").allow_hyphen_values(true));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool> FromArgMatches
    for Flags<STORES, CHAT, COMMERCE>
{
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let specs = SPECS.iter().filter(|spec| Self::has(spec.scope, spec.key));
        let given = specs.filter_map(|spec| {
            let text = matches.get_one::<String>(spec.key)?;
            Some((spec.key, text.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
