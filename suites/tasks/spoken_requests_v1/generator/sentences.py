"""What is said: requests to an assistant, written for this task set, 20 a capability.

Each is as it is spoken: numbers in words, no abbreviation, names of which English has one spelling.
"""

from __future__ import annotations

from collections.abc import Mapping

CLEAR = (
    "Please book a table for four people on Thursday evening by the window.",
    "Could you turn off the lights in the kitchen before you lock the front door?",
    "Remind me to water the plants on the balcony as soon as I get home.",
    "I would like to change my delivery address before the parcel leaves the warehouse.",
    "What is the weather going to be like in the mountains this weekend?",
    "Play something quiet until dinner for the children is ready.",
    "Send a message to my sister and tell her that the train is late.",
    "Can you read me the last paragraph of that letter once more?",
    "The washing machine makes a strange noise whenever it starts to spin.",
    "Add bread, butter and a bag of apples to my shopping list.",
    "Where did I leave the spare key for the garden shed?",
    "Please cancel my appointment with the dentist and find another day.",
    "How do I clean a coffee machine without damaging the rubber seals?",
    "Tell the driver to wait at the side entrance behind the library.",
    "I need a quiet hotel near the beach with a view of the water.",
    "Move the meeting to tomorrow morning and invite the whole team.",
    "Which bus goes from the old market to the swimming pool?",
    "Lower the blinds in the bedroom and set the heating to warm.",
    "My suitcase did not arrive with the flight, so whom should I call?",
    "Write down that the blue paint has to dry before the second coat.",
)

NUMBERS = (
    "My order number is seven three nine four one and it has not arrived yet.",
    "Transfer two hundred and fifty dollars to the savings account.",
    "The temperature should stay at nineteen degrees until the evening.",
    "Call me back at five five five, zero one eight two.",
    "We need sixteen chairs and eight tables for the third of August.",
    "Set a timer for forty five minutes and another one for ten.",
    "The invoice says one thousand three hundred and twelve euros.",
    "My flight leaves from gate twenty seven in forty minutes.",
    "The house was built in nineteen sixty eight and has eleven rooms.",
    "Please order thirty boxes of paper and twelve bottles of ink.",
    "The meter shows eight thousand four hundred and six units.",
    "Divide ninety six by eight and add fourteen to the result.",
    "The room number is four hundred and eleven on the fourth floor.",
    "Only fifteen percent of the seats are left for the second show.",
    "Her birthday is on the twenty first of September.",
    "The parcel weighs six kilograms and costs nineteen dollars to send.",
    "Take bus number sixty two and get off after nine stops.",
    "The recipe needs three hundred grams of flour and five eggs.",
    "My membership code is eight eight two five zero.",
    "The race is forty two miles long and starts at seven.",
)

NAMES = (
    "Please ask Margaret Wilson whether Oliver is coming to Edinburgh on Sunday.",
    "I have a parcel for Andrew Patel at the Maple Street clinic.",
    "Find the number of the Hotel Excelsior in Barcelona for Benjamin.",
    "Tell Charlotte that Daniel Murphy has moved to Wellington.",
    "The package from Amsterdam goes to Michael Henderson in Oxford.",
    "Is the Lincoln Cinema still showing the film about Marie Curie?",
    "Invite Victoria, Samuel and Professor Anderson to the dinner.",
    "Drive to Richmond Park and pick up Emma at the Roehampton gate.",
    "My new landlord is called Walter Griffin and lives in Brighton.",
    "Play the Moonlight Sonata by Beethoven, performed in Vienna.",
    "Sophia Bennett left her umbrella in the Cambridge office.",
    "Does the Glasgow train stop in Carlisle on Saturdays?",
    "Book two seats for Hamlet in the name of Robert Fletcher.",
    "Julia wants to meet Christopher at the Waterloo Bridge in London.",
    "Who wrote the book about Captain Cook and Tahiti?",
    "Remind George to write to Martin Campbell in Toronto.",
    "The winner of the Dublin marathon was Patrick Sullivan.",
    "Send the contract to Rebecca Foster at Northwood Insurance.",
    "Our guide in Marrakesh was called Hassan and came from Casablanca.",
    "Ask Eleanor if Thomas has the keys of the Windsor flat.",
)

NOISE = (
    "Open the window a little and switch the fan to the lowest level.",
    "We wait at the platform and the train just comes in.",
    "Can you hear me better if I move away from the road?",
    "Please repeat the name of the street where I should turn left.",
    "Order a taxi to the station and tell them we have three bags.",
    "Pause the music and call the restaurant about our reservation.",
    "The workers next door are drilling, so please write instead of calling.",
    "Put the dishes into the machine and start the short wash.",
    "Which exit do I take for the castle and the old bridge?",
    "Skip this song and play the one from yesterday evening.",
    "Tell the office about the traffic, because I may be late.",
    "How long does the soup have to boil before I add the rice?",
    "The waiter forgot the bread, could you ask for it again?",
    "Find a petrol station on the way that is still open.",
    "I want to return these shoes because the left one is too tight.",
    "Take a note that the back door of the van does not close.",
    "Is there a pharmacy near the stadium that opens on Sundays?",
    "Show me the shortest way to the ferry, please, because we have no time left.",
    "Turn the volume down, the baby has just fallen asleep.",
    "The lift is out of order, so where do I find the stairs?",
)

FAR = (
    "Wake me up early tomorrow because the plumber comes in the morning.",
    "Close the curtains in the living room and turn on the small lamp.",
    "What was the name of the film that we watched last night?",
    "Start the vacuum cleaner when everybody has left the house.",
    "Put a bottle of milk and some cheese on the list for Friday.",
    "Is there anything in the oven, or can I switch it off?",
    "Tell me a short story about a fox and a lazy gardener.",
    "Who is at the door, and did they bring the new bicycle?",
    "Remind the children to pack their towels for the swimming lesson.",
    "How many days are left until the end of the school holidays?",
    "Call my brother and put him on the speaker in the hall.",
    "Please lock the garage and check the window in the basement.",
    "Turn the heating down, the room gets much too warm.",
    "Read out the recipe for the lemon cake with poppy seeds.",
    "Has the post come already, and is there a letter from the bank?",
    "Play the news, but leave out the part about football.",
    "Let me know when the washing machine has finished.",
    "The dog wants to go out, so open the door to the yard.",
    "Which of the lamps is broken, the one above the sink?",
    "Add a meeting with the teacher to the calendar for Wednesday.",
)

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "clear": CLEAR,
    "far": FAR,
    "names": NAMES,
    "noise": NOISE,
    "numbers": NUMBERS,
}
