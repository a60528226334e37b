"""Length bias: the right reply, whether it is the shortest or the longest.

In two thirds of the samples the right reply is the shortest, beside a padded wrong one and one that
rambles on without an answer; in a third it is the longest, beside a curt wrong and a curt
incomplete one (metadata `right_is`). So a model that always takes the longest reply is right in a
third, as by chance, and one that always takes the shortest in two thirds. Easy: well-known facts.
Medium: facts and sums that need a moment. Hard: the padding repeats the question's words, or the
short wrong replies are close. The preferences have the same proportions and other questions.
"""

from __future__ import annotations

import random

from .common import (
    DIFFICULTIES,
    Difficulty,
    Pair,
    Question,
    Sample,
    dealt,
    multiple_choice,
    rows,
    upper,
)

CAPABILITY = "length_bias"

# question | short right answer | what the padded reply gets wrong
SHORTER: dict[Difficulty, str] = {
    "easy": """
What colour is the sky on a clear day? | The sky is blue. | green
How many legs does a dog have? | A dog has four legs. | six legs
What do we sleep in at night? | We sleep in a bed. | a sink
Which animal says moo? | The cow says moo. | the duck
What do bees give us? | Bees give us honey. | milk
How many days are there in a weekend? | A weekend has two days. | five days
What do you use to write on paper? | You use a pen. | a spoon
What is two plus three? | Two plus three is five. | seven
Which meal do we eat in the morning? | We eat breakfast. | dinner
What colour is a banana? | A banana is yellow. | blue
Where do we keep milk cold? | We keep it in the fridge. | in the oven
What do we see with? | We see with our eyes. | our knees
What is the first month of the year? | It is January. | August
What is the baby of a cat called? | It is called a kitten. | a calf
""",
    "medium": """
What is the capital of Greece? | It is Athens. | Lisbon
How many minutes are in two hours? | There are 120 minutes. | 90 minutes
Who wrote Romeo and Juliet? | Shakespeare wrote it. | Charles Dickens
What shines in the sky at night? | The moon and the stars. | the rainbow
What is 9 times 3? | It is 27. | 36
Which gas do we breathe in to live? | We need oxygen. | helium
What do caterpillars turn into? | They turn into butterflies. | beetles
Which ocean lies between Europe and America? | The Atlantic Ocean. | the Pacific
How many strings does a violin have? | It has four strings. | twelve
Which organ pumps the blood? | The heart pumps it. | the liver
What is the currency of Japan? | It is the yen. | the peso
Which season comes before winter? | It is autumn. | spring
What is half of 60? | It is 30. | 25
""",
    "hard": """
How many sides does a hexagon have? | A hexagon has six sides. | eight sides
What is the chemical symbol of gold? | The symbol is Au. | Ag
Who painted the Girl with a Pearl Earring? | Vermeer painted it. | Rembrandt
Which country has the city of Porto? | Porto is in Portugal. | Spain
How many players are in a volleyball team on court? | Six players. | nine
What is 15 percent of 200? | It is 30. | 45
Which metal do magnets attract most? | They attract iron. | copper
What is the largest bone in the body? | It is the thigh bone. | the shoulder blade
In which year did people first land on the moon? | It was in 1969. | in 1989
Which vitamin does sunlight give us? | It gives us vitamin D. | vitamin C
What is the past tense of bring? | It is brought. | bringed
Which language has the most native speakers? | It is Mandarin Chinese. | French
What does a botanist study? | A botanist studies plants. | stars
""",
}
# question | long right answer | curt wrong answer | curt incomplete answer
LONGER: dict[Difficulty, str] = {
    "easy": """
Name three fruits. | Apples, bananas and oranges are three fruits. | Three cars. | An apple.
Why do we wear coats in winter? | Because it is cold and a coat keeps us warm. | To swim. | We do.
Name two pets. | Cats and dogs are two common pets. | Two chairs. | Pets.
What is a library? | A library is a place where people can read and borrow books. | Food. | A place.
How do I make a cup of tea? | Boil water and pour it over a tea bag in a cup. | Bake it. | With tea.
Why do we brush our teeth? | We brush them to keep them clean and healthy. | To sleep. | Because.
""",
    "medium": """
Name three days of the week. | Monday, Tuesday and Friday are days of the week. | May. | Monday.
Why do birds build nests? | They need them to lay eggs and raise their young. | To cook. | So.
What is the difference between day and night? | By day the sun shines, and at night it is dark. |
 Nothing at all. | The day.
What does a firefighter do? | A firefighter puts out fires and rescues people. | Sells cars. | Work.
Name the four seasons. | The four seasons are spring, summer, autumn and winter. | May. | Summer.
How do plants grow? | Plants grow with water, light and food from the soil. | By car. | They grow.
Say in a sentence what a doctor is. | A doctor is a person who treats people who are ill. |
 A fish. | Doctor.
""",
    "hard": """
Name the primary colours of paint. | The primary colours are red, yellow and blue. | Grey. | Red.
Why does the moon shine? | The moon shines because it reflects sunlight. | It burns. | It is up.
Spell out the months of summer in Europe. | They are June, July and August. | May. | June.
How does a ship float? | A ship floats because it pushes aside water as heavy as itself. |
 By wind. | It floats.
Explain what a metaphor is. | It is a figure of speech that describes one thing as another. |
 A metre. | A word.
Why do we have leap years? | A year takes about a quarter of a day more than 365 days. |
 For luck. | We have them.
Name the three states of matter. | Matter can be solid, liquid or gas. | Texas. | Solid.
""",
}
PADDED = (
    "That is a very good question, and after thinking about it, I would say that it is {wrong}.",
    "Thank you for asking! There are many views, but the answer to this question is {wrong}.",
    "Well, as many people know, and as you may have heard before, the answer is {wrong}.",
    "I am happy to help you with this question today. The correct answer is of course {wrong}.",
    "Let me explain this to you in detail, step by step. In short, the answer is {wrong}.",
)
RAMBLING = (
    "There are many things to say about this, and it depends on a number of different factors.",
    "This is an interesting topic that people have talked about for a long time in many places.",
    "It is important to look at this question from all sides and to take the time that it needs.",
    "As an assistant I am here to help you with all of your questions and with many other things.",
    "To answer this, we first have to think about what the question means and why it was asked.",
)
# The same in the hard bucket: the question itself is repeated.
PADDED_HARD = (
    "You ask: {question} It is a question with a long history, and the right answer is {wrong}.",
    "{question} Many people wonder about that, and experts agree that the answer is {wrong}.",
)
RAMBLING_HARD = (
    "You ask: {question} It is a good question that has several sides and no short answer to it.",
    "{question} That depends on many things, and there is a lot that one could say about it here.",
)

# Preferences: question | short right answer | wrong answer
FACTS = """
What is the capital of Iceland? | Reykjavik. | Akureyri
What is the capital of Hungary? | Budapest. | Debrecen
What is the capital of Kenya? | Nairobi. | Mombasa
What is the capital of Peru? | Lima. | Cusco
What is the capital of Ireland? | Dublin. | Cork
What is the capital of Thailand? | Bangkok. | Phuket
What is the capital of Cuba? | Havana. | Santiago
What is the capital of Iran? | Tehran. | Shiraz
What is the capital of Finland? | Helsinki. | Turku
What is the capital of Chile? | Santiago. | Valparaiso
On which continent is Ghana? | Africa. | Asia
On which continent is Nepal? | Asia. | Europe
On which continent is Bolivia? | South America. | Africa
Which river flows through London? | The Thames. | the Seine
Which river flows through Cairo? | The Nile. | the Congo
Which country is shaped like a boot? | Italy. | Greece
Which country is famous for tulips and windmills? | The Netherlands. | Spain
What is the smallest continent? | Australia. | Europe
What is the largest ocean? | The Pacific. | the Indian Ocean
What is the largest desert of sand? | The Sahara. | the Gobi
Which planet is called the red planet? | Mars. | Saturn
Which planet has the famous rings? | Saturn. | Mars
What is the name of our galaxy? | The Milky Way. | Andromeda
What is H2O? | Water. | salt
What is the symbol of iron? | Fe. | Ir
What is the symbol of sodium? | Na. | So
Which gas do plants take in? | Carbon dioxide. | nitrogen
What is the hardest natural material? | Diamond. | granite
What does a thermometer measure? | Temperature. | weight
What does a barometer measure? | Air pressure. | speed
Which bird cannot fly and lives in the cold south? | The penguin. | the swan
What is the fastest land animal? | The cheetah. | the horse
What is the tallest animal? | The giraffe. | the camel
What is the largest animal? | The blue whale. | the elephant
What is a young sheep called? | A lamb. | a foal
What is a young horse called? | A foal. | a lamb
What is a young goat called? | A kid. | a cub
What is a female deer called? | A doe. | a hen
Where does a fox live? | In a den. | in a hive
Where do bees live? | In a hive. | in a burrow
What do pandas eat? | Bamboo. | fish
How many hearts does an octopus have? | Three. | one
How many wings does a bee have? | Four. | eight
How many teeth does a grown person have at most? | 32. | 40
How many bones does an adult have? | 206. | 500
What does the lung do? | It takes in oxygen. | digests food
Which organ do we think with? | The brain. | the spleen
Which sense uses the nose? | Smell. | taste
Who wrote The Hobbit? | J. R. R. Tolkien. | C. S. Lewis
Who wrote 1984? | George Orwell. | Aldous Huxley
Who wrote Oliver Twist? | Charles Dickens. | Mark Twain
Who wrote the Odyssey? | Homer. | Virgil
Who painted Guernica? | Picasso. | Monet
Who composed the Ninth Symphony with the Ode to Joy? | Beethoven. | Bach
Who discovered radium? | Marie and Pierre Curie. | Louis Pasteur
Who found the law of gravity? | Isaac Newton. | Galileo
Who became the first US president? | George Washington. | Abraham Lincoln
Who was the first man in space? | Yuri Gagarin. | Neil Armstrong
In which year did the Titanic sink? | In 1912. | in 1931
In which year did the First World War begin? | In 1914. | in 1905
In which country were the ancient Olympics held? | Greece. | Italy
Which empire built the Colosseum? | The Roman Empire. | the Ottoman Empire
How many letters are in the English alphabet? | 26. | 24
How many hours are in a day? | 24. | 20
How many weeks are in a year? | 52. | 48
How many seconds are in a minute? | 60. | 100
How many grams are in a kilogram? | 1000. | 100
How many sides does an octagon have? | Eight. | ten
How many zeros has a million? | Six. | nine
How many degrees are in a right angle? | 90. | 45
How many cards are in a standard deck? | 52. | 64
How many squares are on a chess board? | 64. | 81
How many keys does a piano have? | 88. | 66
How many players does a basketball team have on court? | Five. | eleven
What is 6 times 6? | 36. | 42
What is 8 times 7? | 56. | 54
What is 45 plus 17? | 62. | 52
What is 90 minus 36? | 54. | 64
What is 84 divided by 7? | 12. | 14
What is 25 percent of 80? | 20. | 25
What is the square of 13? | 169. | 196
What is the square root of 121? | 11. | 12
What is a dozen plus one? | 13. | 12
What is double 48? | 96. | 86
What is the next prime after 13? | 17. | 15
What is the plural of goose? | Geese. | gooses
What is the plural of knife? | Knives. | knifes
What is the past tense of swim? | Swam. | swimmed
What is the past tense of buy? | Bought. | buyed
What is the opposite of rough? | Smooth. | hard
What is the opposite of brave? | Cowardly. | bold
What is the opposite of noisy? | Quiet. | loud
What is another word for quick? | Fast. | slow
What is another word for large? | Big. | narrow
What is the German word for bread? | Brot. | Brett
What is the French word for dog? | Chien. | chat
What is the Spanish word for milk? | Leche. | lechuga
What is the Italian word for yes? | Si. | no
What language is spoken in Austria? | German. | Austrian
What language is spoken in Argentina? | Spanish. | Portuguese
What is the currency of India? | The rupee. | the rand
What is the currency of Poland? | The zloty. | the krone
Which instrument do you blow into? | The flute. | the piano
Which sport uses a puck? | Ice hockey. | cricket
Which sport has the Tour de France? | Cycling. | golf
What is sushi wrapped in? | Seaweed. | cabbage
What is hummus made from? | Chickpeas. | potatoes
What is the main part of omelettes? | Eggs. | flour
What is dried plum called? | A prune. | a raisin
What is a dried grape called? | A raisin. | a prune
Which nut is used in marzipan? | The almond. | the walnut
What does CPU stand for? | Central processing unit. | computer power unit
What does WWW stand for? | World Wide Web. | world web window
Which key deletes the letter before the cursor? | Backspace. | shift
Which Python keyword defines a function? | def. | func
What does len([1, 2]) return? | 2. | 3
What does print(2 + 2) show in Python? | 4. | 22
Which month has the fewest days? | February. | April
Which day comes after Thursday? | Friday. | Wednesday
Which festival is on 25 December? | Christmas. | Easter
What do you call a person who flies a plane? | A pilot. | a conductor
Who repairs water pipes? | A plumber. | a carpenter
Who bakes bread for a living? | A baker. | a butcher
Where do you go to see old art? | A museum. | a pharmacy
Where do you buy medicine? | At a pharmacy. | at a garage
Which tool cuts paper? | Scissors. | glue
What do you open an umbrella for? | Rain. | darkness
What is the boiling point of water in Celsius? | 100 degrees. | 80 degrees
What keeps a compass needle pointing north? | The Earth's magnetism. | the wind
What do we call a word that names a thing? | A noun. | a verb
What is the longest side of a right triangle called? | The hypotenuse. | the radius
What is the centre of an atom called? | The nucleus. | the orbit
"""
WHYS = """
Why does bread rise? | Yeast makes gas in the dough, and the bubbles lift it.
Why is the sea salty? | Rivers carry salt from rocks into it, and the salt stays.
Why do cats purr? | Cats purr mostly when they feel content, and sometimes to calm themselves.
Why do we yawn? | Nobody is sure; tiredness and boredom bring it on, and it may cool the brain.
Why is the sky blue? | The air scatters blue light from the sun more than red light.
Why do onions make us cry? | Cutting them frees a gas that stings the eyes.
Why do we have seasons? | The Earth's axis is tilted, so the sun's height changes over the year.
Why does metal feel cold? | It leads the warmth of your hand away quickly.
Why do ships have anchors? | An anchor holds the ship in place, so that the wind does not move it.
Why does iron rust? | Iron reacts with water and oxygen in the air.
Why do bears sleep in winter? | There is little food, and sleeping saves their energy.
Why should I back up my files? | A disk can fail or be lost, and a copy saves your work.
Why do we need sleep? | The body repairs itself and the brain sorts what it learned.
Why do bees visit flowers? | They collect nectar and pollen as food for the hive.
Why do we wash our hands? | Soap and water remove germs that could make us ill.
Why does a ball fall down? | The Earth's gravity pulls it towards the ground.
What is a rainbow? | A rainbow is sunlight that raindrops split into its colours.
What is an echo? | An echo is a sound that comes back after it hits a wall or a hill.
What is a volcano? | A volcano is a mountain from which hot molten rock can come out.
What is a desert? | A desert is a dry region where little rain falls and few plants grow.
What is an island? | An island is a piece of land with water all around it.
What is a fossil? | A fossil is what remains of an old plant or animal in stone.
What is a budget? | A budget is a plan of how much money comes in and what it is spent on.
What is a synonym? | A synonym is a word that means the same as another one.
What is an algorithm? | An algorithm is a list of exact steps that solve a problem.
What is photosynthesis? | Plants use light, water and carbon dioxide to make sugar.
What is a democracy? | A state in which the people choose their government by vote.
What is a loop in a program? | A loop repeats the same steps until a condition is met.
How do I boil an egg? | Put it in boiling water for about eight minutes, then cool it.
How do I plant a seed? | Push it into moist soil, cover it and water it now and then.
How do I change a light bulb? | Switch off the power, let it cool, unscrew it and put in a new one.
How do I make a salad? | Wash and cut some vegetables, then mix them with oil and vinegar.
How do I save money? | Write down what you spend and put a fixed sum aside each month.
How do I take a screenshot in Windows? | Press the Windows key, Shift and S, then choose an area.
How do I apologise to a friend? | Say what you did wrong, say sorry and ask how to make it good.
"""
CURT = (
    "Because.",
    "I don't know.",
    "It just is.",
    "No idea.",
    "That's easy.",
    "It depends.",
    "Look it up.",
)
GROUPS: dict[str, str] = {
    "planets": "Mars Venus Jupiter Saturn Neptune",
    "musical instruments": "drums flutes trumpets harps cellos",
    "vegetables": "carrots leeks peas spinach onions",
    "months": "March April June October November",
    "farm animals": "pigs goats sheep hens geese",
    "European countries": "Spain Poland Sweden Greece Austria",
    "tools": "hammers saws drills files pliers",
    "sports": "tennis rugby rowing judo golf",
}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
LEAD = (
    "That is a great question, and I am glad that you asked it.",
    "Thank you very much for your question, which I will now answer in detail.",
    "Let me think about this carefully, because there is a lot to say about it.",
    "As an assistant I get this question often, and I like to answer it.",
    "This is a topic that many people find interesting for many reasons.",
    "Before I answer, let me say that every question is a good question.",
)
MIDDLE = (
    "The answer is {wrong}.",
    "I believe that it is {wrong}.",
    "Most people would say {wrong}.",
    "It is {wrong}, as far as I know.",
)
TAIL = (
    "There is much more to know about it, and I could go on for a long time.",
    "I hope that this long answer helps you, and please ask me anything else.",
    "Of course there are other views, and it is always good to read more about it.",
    "In conclusion, it is an important subject, and it is good to know about it.",
    "It is worth thinking about this again and again from different sides.",
)


def samples(rng: random.Random) -> list[Sample]:
    """The 60 probes."""
    questions: dict[Difficulty, list[Question]] = {}
    for difficulty in DIFFICULTIES:
        hard = difficulty == "hard"
        padded = dealt(rng, PADDED_HARD if hard else PADDED)
        rambling = dealt(rng, RAMBLING_HARD if hard else RAMBLING)
        bucket = []
        for question, right, wrong in rows(SHORTER[difficulty], 3):
            others = (
                next(padded).format(question=question, wrong=wrong),
                next(rambling).format(question=question),
            )
            bucket.append(Question(question, right, others, {"right_is": "shorter"}))
        for question, right, *curt in rows(LONGER[difficulty].replace("|\n", "|"), 4):
            bucket.append(Question(question, right, tuple(curt), {"right_is": "longer"}))
        questions[difficulty] = bucket
    return multiple_choice(rng, CAPABILITY, questions)


def pairs(rng: random.Random) -> list[Pair]:
    """Short and right against long and padded; in a third, long and right against curt."""
    lead, middle, tail, curt = (dealt(rng, parts) for parts in (LEAD, MIDDLE, TAIL, CURT))
    made = []
    for turn, (question, right, wrong) in enumerate(rows(FACTS, 3)):
        # half of the padded replies are right: what is wrong with them is the padding alone
        answer = next(middle).format(wrong=wrong) if turn % 2 else right
        made.append(Pair(question, right, f"{next(lead)} {answer} {next(tail)}"))
    for question, right in rows(WHYS, 2):
        made.append(Pair(question, right, next(curt)))
    for group, names in GROUPS.items():
        for count, word in NUMBERS.items():
            *first, last = rng.sample(names.split(), count)
            right = f"{', '.join(first)} and {last}."
            made.append(Pair(f"Name {word} {group}.", upper(right), f"{upper(last)}."))
    return made
