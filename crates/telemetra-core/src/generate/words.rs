//! The tables behind messages and names. Every text is written as it stands inside a JSON string: quotes and
//! backslashes are escaped already.

/// Emotes, the common ones first.
pub(super) const EMOTES: [&str; 32] = [
    "Kappa",
    "LUL",
    "PogChamp",
    "KEKW",
    "OMEGALUL",
    "Pog",
    "monkaS",
    "PepeHands",
    "BibleThump",
    "Clap",
    "EZ",
    "FeelsBadMan",
    "FeelsGoodMan",
    "HeyGuys",
    "Kreygasm",
    "NotLikeThis",
    "ResidentSleeper",
    "SeemsGood",
    "TriHard",
    "WutFace",
    "4Head",
    "DansGame",
    "CoolStoryBob",
    "PepoThink",
    "peepoClap",
    "Sadge",
    "catJAM",
    "widepeepoHappy",
    "5Head",
    "monkaW",
    "PauseChamp",
    "Jebaited",
];

/// Emotes of great moments, as places in [`EMOTES`].
pub(super) const HYPE_EMOTES: [u8; 8] = [2, 5, 3, 9, 10, 24, 26, 14];

/// Emotes of sad moments, as places in [`EMOTES`].
pub(super) const FAIL_EMOTES: [u8; 7] = [7, 8, 11, 15, 25, 6, 31];

/// Messages without a feeling that a word list would find.
pub(super) const PLAIN: [&str; 40] = [
    "hello chat",
    "Hello everyone!",
    "just got here",
    "first time here",
    "back from dinner",
    "gg",
    "GG WP",
    "chat is moving so fast",
    "same",
    "true",
    "I was about to say that",
    "notification squad",
    "one more game",
    "left or right",
    "we are so back",
    "wait for it",
    "here we go again",
    "that timing",
    "he did it again",
    "no way",
    "okay then",
    "watching from work, don't tell my boss",
    "lurking today",
    "good night from Berlin",
    "it is 4 am here",
    "skip the intro",
    "the music in this part",
    "volume up a little please",
    "push mid",
    "save the ultimate for later",
    "drop the item on the left",
    "clip it",
    "CLIP THAT",
    "someone clip this",
    "he has no potions left",
    "the run is still alive",
    "new personal record incoming",
    "brb",
    "ok back",
    "greetings from the second monitor",
];

/// Messages with words of the positive list.
pub(super) const GLAD: [&str; 26] = [
    "I love this",
    "love love love",
    "this game looks amazing",
    "awesome play!",
    "great stream as always",
    "best stream ever",
    "so good",
    "that was excellent",
    "perfect timing, perfect aim",
    "haha nice one",
    "lol",
    "LOL what was that",
    "pog",
    "POGCHAMP moment",
    "thanks for the stream!",
    "thanks chat",
    "fantastic run so far",
    "this is fun",
    "happy to be here",
    "so excited for this",
    "really cool design",
    "wonderful music",
    "I enjoy this so much",
    "kekw he fell again",
    "nice nice nice",
    "you are good, not bad",
];

/// Messages with words of the negative list.
pub(super) const UPSET: [&str; 22] = [
    "this is so boring",
    "that was bad",
    "terrible aim",
    "awful map",
    "worst patch ever",
    "this sucks",
    "so annoying",
    "stupid mechanic",
    "dumb play",
    "TRASH game",
    "so cringe, so bad",
    "fail",
    "rip",
    "RIP the run",
    "that makes me sad",
    "I am so mad right now",
    "angry typing noises",
    "disappointed but not surprised",
    "frustrated just watching this",
    "I hate this level",
    "hate it, love it, hate it",
    "sad fail",
];

/// Questions.
pub(super) const QUESTIONS: [&str; 14] = [
    "what game is this?",
    "What's your rank?",
    "can you show your settings?",
    "how long is the stream today?",
    "I missed it, what happened?",
    "is this hardcore mode?",
    "which mouse do you use?",
    "is this the new patch?",
    "when is the tournament?",
    "did he beat the boss already?",
    "who is the guy on the left?",
    "what's the song name?",
    "are subs open for games?",
    "how many tries so far?",
];

/// Messages beyond ASCII, and some with escapes.
pub(super) const FOREIGN: [&str; 16] = [
    "日本 nice",
    "初見です、よろしく",
    "草",
    "さすがに上手い",
    "über cool ❤️",
    "Grüße aus München",
    "¡qué jugada, amazing!",
    "jaja increíble",
    "c'était génial",
    "привет всем",
    "это было awesome",
    "안녕하세요",
    "ㅋㅋㅋㅋ",
    "🔥🔥🔥",
    "👏 great 👏 play 👏",
    "he said \\\"one more\\\" an hour ago",
];

/// Texts that people copy from each other.
pub(super) const PASTA: [&str; 4] = [
    "I have been watching this stream since the very beginning and I can say with confidence that this is the moment all of us have been waiting for",
    "dear streamer, please stop winning, my dog has learned to bark at every victory screen and the neighbours are no longer happy",
    "this chat is now in slow mode, everyone take a deep breath, drink some water, sit up straight and thank the moderators",
    "if you are reading this you have been in the chat for too long, go outside, look at a tree, come back and type the name of the tree",
];

/// Hosts of links that people post.
pub(super) const LINKS: [&str; 4] = [
    "https://clips.example/",
    "https://schedule.example/week/",
    "https://wiki.example/item?id=",
    "http://img.example/",
];

/// First parts of user names.
pub(super) const NAME_FIRST: [&str; 32] = [
    "Pixel", "Turbo", "Silent", "Lucky", "Dark", "Tiny", "Captain", "Neon", "Frost", "Mega", "Sleepy",
    "Cosmic", "Rusty", "Salty", "Ghost", "Iron", "Lazy", "Happy", "Storm", "Velvet", "Crimson", "Retro",
    "Sneaky", "Royal", "Wild", "Sunny", "Magic", "Blue", "Electric", "Hidden", "Quick", "Noble",
];

/// Second parts of user names.
pub(super) const NAME_SECOND: [&str; 32] = [
    "Fox", "Wizard", "Panda", "Knight", "Otter", "Dragon", "Waffle", "Raven", "Pirate", "Robot", "Tiger",
    "Potato", "Hunter", "Moose", "Falcon", "Goblin", "Kitten", "Viking", "Badger", "Comet", "Turtle",
    "Samurai", "Noodle", "Wolf", "Penguin", "Yeti", "Cactus", "Lion", "Toast", "Phoenix", "Shark", "Bear",
];
