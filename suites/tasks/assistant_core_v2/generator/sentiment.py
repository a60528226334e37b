"""Sentiment: the emotion behind a remark, the polarity of a review, the topic of a headline.

Easy: the text names its feeling or topic almost in words, the wrong answers are far from it.
Medium: the feeling has to be inferred, one wrong answer is near. Hard: irony, turns of mood, and
wrong answers of the same mood or field. Calibrated on SmolLM2-135M-Instruct: answers are whole
sentences, because bare one-word labels were mostly ranked by their length and frequency.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice


def polarity(text: str, label: str) -> Question:
    """A review and its polarity."""
    other = {"positive": "negative", "negative": "positive"}[label]
    return Question(
        f'What is the sentiment of this review? "{text}"',
        f"The sentiment is {label}.",
        (f"The sentiment is {other}.",),
        "polarity",
    )


def feeling(text: str, right: str, *wrong: str) -> Question:
    """A remark and the emotion behind it."""
    return Question(
        f'Someone says: "{text}" How do they feel?',
        f"They feel {right}.",
        tuple(f"They feel {word}." for word in wrong),
        "feeling",
    )


def topic(text: str, right: str, *wrong: str) -> Question:
    """A headline and its subject."""
    return Question(
        f"What is this headline about? {text}",
        f"It is about {right}.",
        tuple(f"It is about {word}." for word in wrong),
        "topic",
    )


QUESTIONS: dict[Difficulty, list[Question]] = {
    "easy": [
        feeling(
            "I can't stop smiling, this is the best day of my life!",
            "happy",
            "angry",
            "lonely",
            "afraid",
        ),
        feeling(
            "My dog died last night and I have been crying ever since.",
            "sad",
            "happy",
            "proud",
            "bored",
        ),
        feeling(
            "He broke my phone and lied about it. I want to scream!",
            "angry",
            "calm",
            "happy",
            "grateful",
        ),
        feeling(
            "There is a stranger outside my window and I am shaking.",
            "afraid",
            "happy",
            "bored",
            "proud",
        ),
        feeling(
            "I won the race after a year of hard training!", "proud", "sad", "afraid", "guilty"
        ),
        feeling(
            "Nothing to do, nothing on television, the hours just drag on.",
            "bored",
            "excited",
            "proud",
            "grateful",
        ),
        feeling(
            "Thank you so much for helping me move, you saved my weekend.",
            "grateful",
            "angry",
            "jealous",
            "afraid",
        ),
        feeling(
            "I was awake all night and can hardly keep my eyes open.",
            "tired",
            "excited",
            "proud",
            "jealous",
        ),
        topic(
            "The team scored twice in the last minute to win the cup.",
            "sports",
            "weather",
            "cooking",
            "medicine",
        ),
        topic(
            "Heavy rain and strong winds expected on Sunday.",
            "weather",
            "sports",
            "fashion",
            "music",
        ),
        topic(
            "Voters choose a new president next week.", "politics", "cooking", "music", "gardening"
        ),
        topic(
            "Shares fall as the central bank raises interest rates.",
            "business",
            "gardening",
            "sports",
            "music",
        ),
        topic(
            "Astronomers find a planet with two suns.", "science", "fashion", "cooking", "politics"
        ),
        topic(
            "Singer announces a new album and a world tour.",
            "music",
            "medicine",
            "farming",
            "weather",
        ),
        topic("New vaccine protects children from measles.", "health", "sports", "travel", "music"),
        topic("Ten simple soups to warm up your kitchen.", "food", "politics", "space", "football"),
        polarity("I loved every minute of this film.", "positive"),
        polarity("A terrible hotel, dirty and loud.", "negative"),
        polarity("Wonderful food and very friendly staff.", "positive"),
        polarity("The worst phone I have ever bought.", "negative"),
        polarity("Great sound, beautiful design, highly recommended.", "positive"),
        polarity("Broken on arrival, and nobody answered my calls.", "negative"),
    ],
    "medium": [
        feeling(
            "They chose my sister for the trip again, and I wish it had been me.",
            "jealous",
            "proud",
            "afraid",
            "amused",
        ),
        feeling(
            "I shouldn't have said that to her. It was all my fault.",
            "guilty",
            "proud",
            "jealous",
            "bored",
        ),
        feeling(
            "Tomorrow is the exam and my hands won't stop sweating.",
            "nervous",
            "relaxed",
            "proud",
            "bored",
        ),
        feeling(
            "Only two more days until we fly to the beach!",
            "excited",
            "relieved",
            "guilty",
            "angry",
        ),
        feeling(
            "Everyone laughed when I tripped on the stage. I wanted to hide.",
            "embarrassed",
            "proud",
            "grateful",
            "tired",
        ),
        feeling(
            "I have eaten by myself every evening since I moved to this city.",
            "lonely",
            "excited",
            "angry",
            "proud",
        ),
        feeling(
            "The test came back clear. I can finally breathe again.",
            "relieved",
            "bored",
            "angry",
            "surprised",
        ),
        feeling(
            "You did this without asking me? How dare you!", "angry", "grateful", "sleepy", "lonely"
        ),
        topic(
            "The goalkeeper will miss six games after knee surgery.",
            "sports",
            "medicine",
            "business",
            "travel",
        ),
        topic(
            "Airline cuts a thousand jobs after a year of losses.",
            "business",
            "travel",
            "sports",
            "science",
        ),
        topic(
            "Doctors warn that too much salt raises blood pressure.",
            "health",
            "cooking",
            "politics",
            "business",
        ),
        topic(
            "Parliament votes against the new tax law.", "politics", "business", "music", "science"
        ),
        topic(
            "Museum shows forty lost drawings by a Dutch master.",
            "art",
            "sport",
            "travel",
            "medicine",
        ),
        topic(
            "Schools ask for more teachers of mathematics.",
            "education",
            "research",
            "sports",
            "health",
        ),
        topic(
            "Phone maker presents a chip that is twice as fast.",
            "technology",
            "education",
            "food",
            "politics",
        ),
        topic(
            "Five quiet islands to visit before the summer crowds arrive.",
            "travel",
            "weather",
            "politics",
            "health",
        ),
        polarity("I would happily stay here again.", "positive"),
        polarity("I want my money back.", "negative"),
        polarity("It does exactly what it promises, and the battery lasts for days.", "positive"),
        polarity("The story drags, and I fell asleep halfway.", "negative"),
        polarity("My children ask for this soup every day.", "positive"),
        polarity("We waited an hour and got cold fish.", "negative"),
    ],
    "hard": [
        feeling(
            "Of course the bus is late again. Just what I needed today.",
            "annoyed",
            "grateful",
            "guilty",
            "jealous",
        ),
        feeling(
            "I looked at the old photographs and missed those summers.",
            "nostalgic",
            "nervous",
            "annoyed",
            "relieved",
        ),
        feeling(
            "I read the letter three times and still don't know what it means.",
            "confused",
            "jealous",
            "lonely",
            "relieved",
        ),
        feeling(
            "I trained for months, and then they cancelled the race.",
            "disappointed",
            "embarrassed",
            "jealous",
            "guilty",
        ),
        feeling(
            "I never expected all of you to be here, what a party!",
            "surprised",
            "jealous",
            "proud",
            "relieved",
        ),
        feeling(
            "She said she would call, and it is past midnight now.",
            "worried",
            "guilty",
            "amused",
            "relieved",
        ),
        feeling(
            "He talks about his new car as if nobody else had one. I roll my eyes.",
            "annoyed",
            "afraid",
            "excited",
            "impressed",
        ),
        feeling(
            "Sitting by the lake, listening to the water, I need nothing else.",
            "calm",
            "proud",
            "bored",
            "curious",
        ),
        topic(
            "The striker's transfer made the club's owners very rich.",
            "football",
            "labor law",
            "fashion",
            "real estate",
        ),
        topic(
            "Warm winters bring vineyards to the far north.",
            "climate",
            "tourism",
            "sports",
            "education",
        ),
        topic(
            "Judge rules that the contract was never valid.", "law", "sport", "health", "business"
        ),
        topic(
            "Why the last chapter of the novel divides its readers.",
            "literature",
            "education",
            "history",
            "politics",
        ),
        topic(
            "Rare frog returns to the valley after thirty years.",
            "nature",
            "travel",
            "farming",
            "history",
        ),
        topic(
            "Letters of a soldier who fought at Waterloo are found.",
            "history",
            "fashion",
            "travel",
            "politics",
        ),
        topic(
            "The red dress of the season is cut above the knee.",
            "fashion",
            "medicine",
            "weather",
            "art",
        ),
        topic(
            "Probe sends its first pictures from the rings of Saturn.",
            "space",
            "art",
            "cinema",
            "jewelry",
        ),
        polarity("I expected to hate it, but I was wrong.", "positive"),
        polarity("The trailer promised a lot, and the film kept none of it.", "negative"),
        polarity("Not bad at all for the price.", "positive"),
        polarity("Great, it stopped working after two days.", "negative"),
        polarity("I can't find a single thing to complain about.", "positive"),
        polarity("If you like cold coffee and rude waiters, this is the place.", "negative"),
    ],
}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples of this capability."""
    return multiple_choice(rng, "sentiment", QUESTIONS)
