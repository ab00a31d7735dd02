"""How well stores find what a question asks for, on sets of questions with known answers."""
