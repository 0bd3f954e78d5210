<?php
// Asks somebody else, as the query says, and answers what that was and which process it is.
echo file_get_contents($_SERVER["QUERY_STRING"]), " ", getmypid();
