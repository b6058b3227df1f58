//! The settings as flags: made from the table, so that no setting lacks one.
//!
//! Values stay text: they are judged together with those of the other layers.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use super::{
    layers::defaults,
    spec::{SPECS, Scope},
};

/// Settings given as flags, by key. `CHAT` and `COMMERCE` add those of commands that read events of that pipeline,
/// `STORES` those of commands that open the store, `KAFKA` those of commands that speak to Kafka: whose topics, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags<const STORES: bool, const CHAT: bool, const COMMERCE: bool, const KAFKA: u8>(
    pub Vec<(&'static str, String)>,
);

/// No Kafka.
const NONE: u8 = 0;
/// Topics of chat.
const CHAT_TOPICS: u8 = 1;
/// A topic of shop events.
const SHOP_TOPIC: u8 = 2;

/// For commands that read chat into the store.
pub type ChatFlags = Flags<true, true, false, CHAT_TOPICS>;
/// For commands that read shop events into the store.
pub type CommerceFlags = Flags<true, false, true, SHOP_TOPIC>;
/// For the one that reads chat of its own making.
pub type DemoFlags = Flags<true, true, false, NONE>;
/// For commands that open the store only.
pub type StoreFlags = Flags<true, false, false, NONE>;
/// For the one that writes chat.
pub type ChatOutFlags = Flags<false, false, false, CHAT_TOPICS>;
/// For the one that writes shop events.
pub type ShopOutFlags = Flags<false, false, false, SHOP_TOPIC>;

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool, const KAFKA: u8>
    Flags<STORES, CHAT, COMMERCE, KAFKA>
{
    fn has(scope: Scope) -> bool {
        match scope {
            Scope::Every => true,
            Scope::Store => STORES,
            Scope::Pipeline => CHAT || COMMERCE,
            Scope::Chat => CHAT,
            Scope::Commerce => COMMERCE,
            Scope::Kafka => KAFKA != NONE,
            Scope::KafkaInput => KAFKA != NONE && (CHAT || COMMERCE),
            Scope::ChatTopics => KAFKA == CHAT_TOPICS,
            Scope::ShopTopic => KAFKA == SHOP_TOPIC,
            Scope::Secret | Scope::Accepted => false,
        }
    }
}

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool, const KAFKA: u8> Args
    for Flags<STORES, CHAT, COMMERCE, KAFKA>
{
    fn augment_args(mut command: Command) -> Command {
        let defaults = defaults();
        for spec in SPECS.iter().filter(|spec| Self::has(spec.scope)) {
            let default =
                defaults.get(spec.key).map_or(String::new(), |raw| format!(" [default: {}]", raw.text));
            let help = format!("{} [env: {}]{default}", spec.help, spec.env);
            let arg = Arg::new(spec.key).long(spec.flag()).value_name(spec.value).help(help);
            command = command.arg(arg.help_heading("Settings").allow_hyphen_values(true));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const STORES: bool, const CHAT: bool, const COMMERCE: bool, const KAFKA: u8> FromArgMatches
    for Flags<STORES, CHAT, COMMERCE, KAFKA>
{
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let specs = SPECS.iter().filter(|spec| Self::has(spec.scope));
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
