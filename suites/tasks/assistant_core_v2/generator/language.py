"""Language: grammar in context, antonyms and synonyms, words from and to other languages.

Easy: everyday forms and words, at most one wrong answer is near. Medium: forms that learners
get wrong, wrong words of the same field. Hard: subjunctives, agreement at a distance, rarer
words, false friends. Calibrated on SmolLM2-135M-Instruct. The gap sentences (8 in each bucket)
test what the model finds grammatical, and it finds it without being asked: nearly all are
solved, and they catch a variant that has lost its English.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice


def complete(text: str, right: str, *wrong: str) -> Question:
    """A sentence with a gap; the answers are the whole sentence with the gap filled."""
    return Question(
        f"Complete the sentence: {text}",
        text.replace("___", right),
        tuple(text.replace("___", word) for word in wrong),
        "gap",
    )


def opposite(word: str, right: str, *wrong: str) -> Question:
    """The antonym of a word."""
    return Question(f'What is the opposite of "{word}"?', right, wrong, "antonym")


def synonym(word: str, right: str, *wrong: str) -> Question:
    """The synonym of a word."""
    return Question(f'Which word means the same as "{word}"?', right, wrong, "synonym")


def into(language: str, word: str, right: str, *wrong: str) -> Question:
    """An English word in another language."""
    return Question(f'How do you say "{word}" in {language}?', right, wrong, "translation")


def out_of(language: str, word: str, right: str, *wrong: str) -> Question:
    """A foreign word in English."""
    return Question(
        f'What does the {language} word "{word}" mean in English?', right, wrong, "meaning"
    )


QUESTIONS: dict[Difficulty, list[Question]] = {
    "easy": [
        complete("She ___ to school every day.", "goes", "going", "gone", "go"),
        complete("They ___ playing in the garden now.", "are", "is", "am", "be"),
        complete("Yesterday we ___ a good movie.", "saw", "see", "seen", "seeing"),
        complete("I have two ___ and a dog.", "cats", "cat", "a cat", "cat's"),
        complete("He is taller ___ his brother.", "than", "then", "that", "as"),
        complete("This is the ___ day of the year.", "hottest", "hotter", "hot", "most hot"),
        complete("The book is ___ the table.", "on", "of", "into", "at"),
        complete("We were tired, ___ we went home.", "so", "but", "or", "than"),
        opposite("hot", "Cold", "Warm", "Spicy", "Dry"),
        opposite("big", "Small", "Huge", "Long", "Round"),
        opposite("up", "Down", "Over", "High", "Here"),
        opposite("old", "Young", "Aged", "Wise", "Rich"),
        opposite("day", "Night", "Month", "Noon", "Hour"),
        synonym("happy", "Glad", "Sad", "Wet", "Sour"),
        synonym("large", "Big", "Tiny", "Soft", "New"),
        synonym("quick", "Fast", "Slow", "Late", "Deep"),
        synonym("begin", "Start", "Finish", "Think", "Close"),
        into("Spanish", "water", "Agua", "Pan", "Mesa", "Cielo"),
        into("French", "thank you", "Merci", "Bonjour", "Adieu", "Pardon"),
        out_of("Spanish", "casa", "House", "Street", "Garden", "Bread"),
        out_of("French", "bonjour", "Hello", "Table", "Seven", "Window"),
        out_of("German", "gut", "Good", "Bad", "Sweet", "New"),
    ],
    "medium": [
        complete("If it rains, we ___ stay at home.", "will", "would have", "had", "are"),
        complete("Neither of the boys ___ hungry.", "was", "were being", "be", "are been"),
        complete("She has ___ in Rome for ten years.", "lived", "live", "lives", "living"),
        complete("The cake was eaten ___ the children.", "by", "from", "of", "with"),
        complete("He speaks English very ___.", "well", "good", "goodly", "best"),
        complete("There isn't ___ milk in the fridge.", "any", "some", "no", "many"),
        complete("I look forward to ___ you.", "seeing", "see", "saw", "seen"),
        complete("My parents gave ___ a new bike.", "me", "I", "my", "mine"),
        opposite("empty", "Full", "Heavy", "Open", "Clean"),
        opposite("strong", "Weak", "Brave", "Tough", "Large"),
        opposite("buy", "Sell", "Pay", "Shop", "Own"),
        opposite("always", "Never", "Often", "Today", "Later"),
        opposite("arrive", "Leave", "Come", "Reach", "Enter"),
        synonym("angry", "Mad", "Sad", "Shy", "Calm"),
        synonym("smart", "Clever", "Strong", "Polite", "Gentle"),
        synonym("silent", "Quiet", "Empty", "Quick", "Bright"),
        synonym("repair", "Fix", "Buy", "Use", "Cut"),
        into("Spanish", "friend", "Amigo", "Perro", "Libro", "Mesa"),
        into("German", "house", "Haus", "Hund", "Hand", "Brot"),
        into("French", "red", "Rouge", "Vert", "Bleu", "Noir"),
        out_of("French", "livre", "Book", "Free", "Hare", "Boat"),
        out_of("Spanish", "perro", "Dog", "Cat", "Bird", "Horse"),
    ],
    "hard": [
        complete("If I ___ you, I would apologize.", "were", "am", "be", "will be"),
        complete("The list of names ___ on the desk.", "is", "are", "were", "have been"),
        complete("She asked me where I ___ from.", "came", "come did", "did came", "coming"),
        complete("He denied ___ the window.", "breaking", "to break", "break", "broke"),
        complete("Hardly had we left ___ it began to snow.", "when", "then", "that", "if"),
        complete("I wish I ___ more time yesterday.", "had had", "have", "have had", "would"),
        complete("The woman ___ car was stolen called us.", "whose", "which", "who", "whom"),
        complete("Each of the players ___ a number.", "has", "have", "are having", "having"),
        opposite("ancient", "Modern", "Large", "Famous", "Historic"),
        opposite("generous", "Stingy", "Kind", "Wealthy", "Polite"),
        opposite("temporary", "Permanent", "Seasonal", "Sudden", "Partial"),
        opposite("shallow", "Deep", "Wide", "Narrow", "Clear"),
        opposite("victory", "Defeat", "Battle", "Trophy", "Success"),
        synonym("brief", "Short", "Wide", "Simple", "Early"),
        synonym("enormous", "Huge", "Tiny", "Strong", "Ugly"),
        synonym("reluctant", "Unwilling", "Eager", "Unknown", "Careless"),
        synonym("purchase", "Buy", "Sell", "Lend", "Carry"),
        into("German", "bread", "Brot", "Pain", "Bett", "Brett"),
        into("French", "tomorrow", "Demain", "Hier", "Matin", "Jamais"),
        into("Spanish", "window", "Ventana", "Puerta", "Pared", "Techo"),
        out_of("German", "Schmetterling", "Butterfly", "Hammer", "Blacksmith", "Thunder"),
        out_of("French", "pomme", "Apple", "Potato", "Pump", "Palm"),
    ],
}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples of this capability."""
    return multiple_choice(rng, "language", QUESTIONS)
