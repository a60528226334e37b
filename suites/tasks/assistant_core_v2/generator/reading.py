"""Reading: a short passage, then a question that the passage answers.

Easy: the passage has one candidate for the answer, the wrong answers are not in it. Medium: the
wrong answers are in the passage too, each tied to something else. Hard: the passage also turns
away from them by comparison, exception, order in time or correction. Calibrated on
SmolLM2-135M-Instruct: with bare words as answers medium and hard stayed at chance, so there the
answers are short sentences.
"""

from __future__ import annotations

import random

from .common import Difficulty, Question, Sample, multiple_choice


def ask(
    passage: str, question: str, right: str, *wrong: str, cluster: str | None = None
) -> Question:
    """A passage with one question about it."""
    return Question(f"{passage} {question}", right, wrong, cluster=cluster)


QUESTIONS: dict[Difficulty, list[Question]] = {
    "easy": [
        ask(
            "Anna went to the market on Saturday. "
            "She bought a bag of apples and then took the bus home.",
            "What did Anna buy?",
            "Apples",
            "Bread",
            "Flowers",
            "Fish",
        ),
        ask(
            "The museum opens at nine in the morning and is closed on Mondays. "
            "Children do not pay.",
            "On which day is the museum closed?",
            "Monday",
            "Sunday",
            "Friday",
            "Tuesday",
        ),
        ask(
            "Tom forgot his umbrella at school. On the way home it began to rain, and he got wet.",
            "What did Tom forget?",
            "His umbrella",
            "His lunch",
            "His jacket",
            "His phone",
        ),
        ask(
            "Our cat sleeps all day on the old piano in the living room. "
            "At night she hunts mice in the barn.",
            "Where does the cat sleep?",
            "On the piano",
            "On the roof",
            "In the garden",
            "In the car",
        ),
        ask(
            "Mr. Lee is a baker. "
            "He gets up at three every morning so that fresh bread is ready by six.",
            "What is Mr. Lee's job?",
            "Baker",
            "Farmer",
            "Teacher",
            "Driver",
        ),
        ask(
            "The children built a small boat of wood and painted it yellow. "
            "It sank after a minute in the pond.",
            "What color was the boat?",
            "Yellow",
            "Green",
            "White",
            "Black",
        ),
        ask(
            "Lena has played the violin since she was six. "
            "This summer she will join an orchestra in Vienna.",
            "Which instrument does Lena play?",
            "The violin",
            "The guitar",
            "The flute",
            "The drums",
        ),
        ask(
            "The train to Lyon was late because of snow on the tracks. "
            "Passengers were given free tea.",
            "Why was the train late?",
            "Because of snow",
            "Because of a strike",
            "Because of a fire",
            "Because of fog",
        ),
        ask(
            "Grandfather keeps bees behind the house. Every August he fills sixty jars with honey.",
            "What does Grandfather keep?",
            "Bees",
            "Goats",
            "Chickens",
            "Rabbits",
        ),
        ask(
            "Peru is a country in South America. "
            "Most of its people live on the coast, and its capital is Lima.",
            "What is the capital of Peru?",
            "Lima",
            "Quito",
            "Bogota",
            "Santiago",
        ),
        ask(
            "The old lighthouse was built of stone in 1820. "
            "Since 1985 it has worked without a keeper.",
            "What is the lighthouse built of?",
            "Stone",
            "Wood",
            "Brick",
            "Steel",
        ),
        ask(
            "Maria wanted to call her mother, but her phone was broken. "
            "She wrote a long letter instead.",
            "Who did Maria want to call?",
            "Her mother",
            "Her teacher",
            "Her doctor",
            "Her neighbor",
        ),
        ask(
            "Penguins cannot fly, but they swim very well. They eat fish and live in large groups.",
            "What do penguins eat?",
            "Fish",
            "Grass",
            "Nuts",
            "Birds",
        ),
        ask(
            "The shop sells tea from China and coffee from Kenya. A cup costs two dollars.",
            "Where does the coffee come from?",
            "Kenya",
            "Brazil",
            "Peru",
            "India",
        ),
        ask(
            "Ben broke his arm when he fell from a ladder. "
            "He could not play tennis for two months.",
            "What did Ben break?",
            "His arm",
            "His leg",
            "His nose",
            "His foot",
        ),
        ask(
            "Our neighbors moved to Canada last winter. "
            "They send us a postcard with a bear on it every month.",
            "Where did the neighbors move?",
            "To Canada",
            "To Spain",
            "To Japan",
            "To Italy",
        ),
        ask(
            "The soup is made of carrots, onions and a little ginger. "
            "It should cook for half an hour.",
            "How long should the soup cook?",
            "Half an hour",
            "Ten minutes",
            "Two hours",
            "All night",
        ),
        ask(
            "A fox came into the yard at night and stole two hens. "
            "The farmer has now built a higher fence.",
            "Which animal stole the hens?",
            "A fox",
            "A wolf",
            "A dog",
            "A cat",
        ),
        ask(
            "Sara studies medicine in Madrid. "
            "On weekends she works in a small book shop to pay her rent.",
            "What does Sara study?",
            "Medicine",
            "Law",
            "History",
            "Music",
        ),
        ask(
            "The concert was moved from the park to the town hall since a storm was coming. "
            "Nobody complained.",
            "Where did the concert take place?",
            "In the town hall",
            "In the church",
            "In the school",
            "In the theater",
        ),
        ask(
            "Dad painted the kitchen blue. "
            "He wanted to paint the bedroom as well, but there was no paint left.",
            "Which room did Dad paint?",
            "The kitchen",
            "The bathroom",
            "The garage",
            "The hall",
        ),
        ask(
            "Kim has three brothers. The youngest one, Joon, is five years old and loves trains.",
            "What does Joon love?",
            "Trains",
            "Horses",
            "Planes",
            "Books",
        ),
    ],
    "medium": [
        ask(
            "Anton ordered the fish, and his wife took the pasta. The waiter was very friendly.",
            "What did Anton's wife eat?",
            "She ate the pasta.",
            "She ate the fish.",
            "She ate the salad.",
        ),
        ask(
            "The red team won on Monday, the green team on Tuesday, and the final is next week.",
            "When did the green team win?",
            "It won on Tuesday.",
            "It won on Monday.",
            "It won on Saturday.",
        ),
        ask(
            "Ruth lent her bike to Carl. Carl left it at the station, where Emma found it.",
            "Who found the bike?",
            "Emma found the bike.",
            "Ruth found the bike.",
            "Carl found the bike.",
        ),
        ask(
            "The blue bag holds the tools, the black bag holds the tent, and the food is in "
            "the white bag.",
            "Which bag holds the tent?",
            "The black bag holds the tent.",
            "The blue bag holds the tent.",
            "The white bag holds the tent.",
        ),
        ask(
            "We flew from Oslo to Rome, spent a night there, and went on to Cairo by ship.",
            "Where did the flight begin?",
            "It began in Oslo.",
            "It began in Rome.",
            "It began in Cairo.",
        ),
        ask(
            "The oak is two hundred years old. The house was built in 1950, and the road is new.",
            "What is two hundred years old?",
            "The oak is.",
            "The house is.",
            "The road is.",
        ),
        ask(
            "Breakfast is served on the terrace, lunch in the garden and dinner in the great hall.",
            "Where is lunch served?",
            "Lunch is served in the garden.",
            "Lunch is served on the terrace.",
            "Lunch is served in the great hall.",
        ),
        ask(
            "The doctor told Paul to drink more water, to stop smoking, and to sleep eight hours.",
            "What should Paul drink more of?",
            "He should drink more water.",
            "He should drink more milk.",
            "He should drink more coffee.",
        ),
        ask(
            "In the school play, Nina is the queen, Oscar is the thief and Vera is the judge.",
            "Who is the thief?",
            "Oscar is the thief.",
            "Nina is the thief.",
            "Vera is the thief.",
        ),
        ask(
            "The bakery was closed and the market too far, so Ida got her bread at the gas "
            "station.",
            "Where did Ida get bread?",
            "She got bread at the gas station.",
            "She got bread at the bakery.",
            "She got bread at the market.",
        ),
        ask(
            "Silver was found in the hills, and years later gold was found in the river.",
            "What was found in the river?",
            "Gold was found in the river.",
            "Silver was found in the river.",
            "Copper was found in the river.",
        ),
        ask(
            "As a boy Yusuf wanted to be a pilot. Today he teaches chemistry at a large school.",
            "What does Yusuf teach?",
            "He teaches chemistry.",
            "He teaches flying.",
            "He teaches history.",
        ),
        ask(
            "The first chapter is about whales, the second about sharks, and the last about seals.",
            "What is the last chapter about?",
            "It is about seals.",
            "It is about whales.",
            "It is about sharks.",
        ),
        ask(
            "The cup fell from the shelf when the cat jumped after a fly. Nobody was hurt.",
            "What jumped after a fly?",
            "The cat jumped.",
            "The cup jumped.",
            "The dog jumped.",
        ),
        ask(
            "Hana paid for the tickets, and Luis paid for the meal. Greta drove everyone home.",
            "Who paid for the meal?",
            "Luis paid for the meal.",
            "Hana paid for the meal.",
            "Greta paid for the meal.",
        ),
        ask(
            "The lake freezes in January. "
            "In April the ice melts, and people start to swim in June.",
            "When does the ice melt?",
            "The ice melts in April.",
            "The ice melts in January.",
            "The ice melts in June.",
        ),
        ask(
            "A ring was lost in the bath and a coat on the train. "
            "Later the coat was found under a seat.",
            "What was found?",
            "The coat was found.",
            "The ring was found.",
            "The ticket was found.",
        ),
        ask(
            "Jonas plays chess with his aunt and cards with his uncle whenever they visit.",
            "With whom does he play cards?",
            "He plays cards with his uncle.",
            "He plays cards with his aunt.",
            "He plays cards with his cousin.",
        ),
        ask(
            "Adults pay ten dollars for a ticket, students pay six dollars, and children pay "
            "nothing.",
            "How much do students pay?",
            "Students pay six dollars.",
            "Students pay ten dollars.",
            "Students pay nothing.",
        ),
        ask(
            "The novel was written in Poland. "
            "It was printed in France and became a film in Sweden.",
            "Where was the novel written?",
            "It was written in Poland.",
            "It was written in France.",
            "It was written in Sweden.",
        ),
        ask(
            "The gray horse won the race. "
            "The brown horse fell, and the white horse refused to run.",
            "Which horse fell?",
            "The brown horse fell.",
            "The gray horse fell.",
            "The white horse fell.",
        ),
        ask(
            "Milk is kept on the top shelf, eggs are kept in the door, and the cheese lies "
            "in a drawer.",
            "Where are the eggs kept?",
            "The eggs are kept in the door.",
            "The eggs are kept on the top shelf.",
            "The eggs are kept in a drawer.",
        ),
    ],
    "hard": [
        ask(
            "Mia is shorter than Zoe but taller than Kate. All three sing in the school choir.",
            "Who is the tallest?",
            "Zoe is the tallest.",
            "Mia is the tallest.",
            "Kate is the tallest.",
        ),
        ask(
            "All the guests brought cake to the party except Leo, who brought juice.",
            "Who brought juice?",
            "Leo brought juice.",
            "The guests brought juice.",
            "Nobody brought juice.",
        ),
        ask(
            "The meeting was planned for Tuesday, moved to Thursday, and finally held on Friday.",
            "When was the meeting held?",
            "It was held on Friday.",
            "It was held on Tuesday.",
            "It was held on Thursday.",
        ),
        ask(
            "Before she became a judge, Olga sold shoes, and before that she was a dancer.",
            "What is Olga now?",
            "She is a judge.",
            "She is a dancer.",
            "She is a singer.",
        ),
        ask(
            "The hotel by the sea was full and the one by the station was dirty, so they "
            "slept in their car.",
            "Where did they sleep?",
            "They slept in their car.",
            "They slept by the sea.",
            "They slept by the station.",
        ),
        ask(
            "Ivan has a dog named Rex. His sister has a bird named Luna and a cat without a name.",
            "Who is Luna?",
            "Luna is a bird.",
            "Luna is a dog.",
            "Luna is a cat.",
        ),
        ask(
            "The middle bridge is closed to trucks, and the south bridge to everybody. "
            "The north bridge is open.",
            "Which bridge can trucks use?",
            "They can use the north bridge.",
            "They can use the middle bridge.",
            "They can use the south bridge.",
        ),
        ask(
            "Clara gave the map to Hugo, who handed it to Stan. Stan tore it and blamed Hugo.",
            "Who tore the map?",
            "Stan tore the map.",
            "Hugo tore the map.",
            "Clara tore the map.",
        ),
        ask(
            "The tea was too hot and the milk was sour, so all of us drank juice.",
            "What did we drink?",
            "We drank juice.",
            "We drank tea.",
            "We drank milk.",
        ),
        ask(
            "Peas were planted before beans, and beans before corn. The corn died in the frost.",
            "What was planted first?",
            "Peas were planted first.",
            "Beans were planted first.",
            "Corn was planted first.",
        ),
        ask(
            "The doctor saw Ned on Monday and said he would be well by Thursday. "
            "He was well on Wednesday.",
            "When was Ned well?",
            "He was well on Wednesday.",
            "He was well on Thursday.",
            "He was well on Monday.",
        ),
        ask(
            "The green coat costs more than the gray one, and the gray one more than the "
            "black one.",
            "Which coat costs the least?",
            "The black one.",
            "The gray one.",
            "The green one.",
        ),
        ask(
            "The captain told the judge that the storm had sunk the ship. "
            "A careless sailor was punished.",
            "Who was punished?",
            "The sailor was punished.",
            "The captain was punished.",
            "The cook was punished.",
        ),
        ask(
            "Rosa thought the letter came from Felix, but her brother had written it as a joke.",
            "Who wrote the letter?",
            "Her brother wrote it.",
            "Felix wrote it.",
            "Rosa wrote it.",
        ),
        ask(
            "Lars ran faster than Nils. Nils ran faster than Sven, who was ill that day.",
            "Who was the slowest?",
            "Sven was the slowest.",
            "Nils was the slowest.",
            "Lars was the slowest.",
        ),
        ask(
            "The tower is a prison today. "
            "It was a library once, and long ago a king had built it as a home.",
            "What is the tower today?",
            "It is a prison.",
            "It is a library.",
            "It is a home.",
        ),
        ask(
            "At the long table Ada sat on the left, Cy on the right, and Bo between the two.",
            "Who sat on the right?",
            "Cy sat on the right.",
            "Ada sat on the right.",
            "Bo sat on the right.",
        ),
        ask(
            "My aunt hates boats and is afraid of planes, so she came by train although it "
            "took two days.",
            "How did the aunt come?",
            "She came by train.",
            "She came by boat.",
            "She came by plane.",
        ),
        ask(
            "The school has enough books and too many chairs, but it needs new desks.",
            "What does the school need?",
            "It needs desks.",
            "It needs chairs.",
            "It needs books.",
        ),
        ask(
            "Pia wanted to go to the theater and Sam to the zoo, but Max took them to the circus.",
            "Where did they go?",
            "They went to the circus.",
            "They went to the theater.",
            "They went to the zoo.",
        ),
        ask(
            "The gold medal went to Kenya and the silver to Chile. "
            "Japan, which had led for hours, came fourth.",
            "Who won silver?",
            "Chile won silver.",
            "Kenya won silver.",
            "Japan won silver.",
        ),
        ask(
            "The left door leads to the cellar and the right door to the attic. "
            "Never open the middle door!",
            "Which door leads to the attic?",
            "The right door leads to the attic.",
            "The left door leads to the attic.",
            "The middle door leads to the attic.",
        ),
    ],
}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples of this capability."""
    return multiple_choice(rng, "reading", QUESTIONS)
