

	9a1b-0000	J



sise.1


b	
9a1b-S1