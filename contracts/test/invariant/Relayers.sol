// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "../../src/interfaces/IMarketBack.sol";
import {IMarketFront} from "../../src/interfaces/IMarketFront.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Messages} from "../../src/libraries/Messages.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {Books} from "./Books.sol";

/// @notice What parties sign and a stranger sends (P6.1): batches, waivers and outcomes with everybody's own signature.
abstract contract Relayers is Books {
    uint8 internal constant LANES = 2;

    mapping(bytes4 call => uint256) public relayed; // how often each went through
    mapping(bytes32 id => mapping(uint8 round => mapping(uint256 place => bytes32))) internal _votes;
    mapping(bytes32 id => bytes[]) private _taken; // what was sent and went through
    mapping(address signer => uint256) private _keys;

    function setUp() public virtual override {
        super.setUp();
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            _knowHot(string.concat("hot ", vm.toString(seat)));
        }
        _knowHot("more hot");
        _knowHot("stranger");
    }

    function _knowHot(string memory name) private {
        (address hot, uint256 key) = makeAddrAndKey(name);
        _keys[hot] = key;
    }

    /// @dev A revert is an answer too.
    function _relay(bytes32 id, bytes memory call_) private {
        vm.prank(stranger);
        (bool isTaken,) = address(market).call(call_);
        require(isTaken, "not taken");
        ++relayed[bytes4(call_)];
        _taken[id].push(call_);
    }

    /// @dev What a stranger sent, and was taken, is sent again. True if it is taken again: it must never be.
    function _relayAgain(bytes32 id, uint256 which) internal returns (bool isTaken) {
        uint256 count = _taken[id].length;
        if (count == 0) return false;
        vm.prank(stranger);
        (isTaken,) = address(market).call(_taken[id][which % count]);
    }

    /* ------------------------------------------------------------------------ batches */

    /// @dev `votes` by place, in a round in which nobody committed yet.
    function _relayCommits(bytes32 id, bytes32[] memory votes) internal {
        (, uint32[] memory seats) = market.committee(id);
        uint8 round = market.getJob(id).round;
        uint256 count;
        while (count < seats.length && seats[count] != Committee.VACANT) {
            ++count;
        }
        (bytes32[] memory hashes, bytes[] memory signatures) = (new bytes32[](count), new bytes[](count));
        for (uint256 place; place < count; ++place) {
            hashes[place] = _commitment(id, round, seats[place], votes[place]);
            bytes32 message = Messages.scoreCommit(id, round, seats[place], hashes[place]);
            signatures[place] = _signed(_keys[market.getSeat(seats[place]).hot], message);
        }
        _relay(id, abi.encodeCall(IMarketFront.commitAll, (id, hashes, signatures)));
        for (uint256 place; place < count; ++place) {
            _noteCommit(id, round, place, hashes[place]);
            _votes[id][round][place] = votes[place];
        }
    }

    function _relayReveals(bytes32 id) internal {
        _relay(id, abi.encodeCall(IMarketFront.revealAll, (id, _openingsOf(id))));
    }

    /// @dev Who waives knows the votes of a round that is not open yet, and so its result.
    function _relayWaiver(bytes32 id) internal {
        JobView memory job = market.getJob(id);
        bool isHidden = job.state != State.Scored;
        Opening[] memory openings = isHidden ? _openingsOf(id) : new Opening[](0);
        bytes32 result = isHidden ? _resultOf(job, openings) : job.result;
        _relay(id, abi.encodeCall(IMarketFront.conclude, (_told(id), openings, _waivers(id, result))));
    }

    /// @dev All commits of the present round, opened in the order in which they were made.
    function _openingsOf(bytes32 id) private view returns (Opening[] memory openings) {
        uint8 round = market.getJob(id).round;
        RoundView memory stored = market.getRound(id, round);
        openings = new Opening[](Votes.countOnes(stored.committed));
        for (uint8 place; place < stored.size; ++place) {
            if ((stored.committed >> place) & 1 == 0) continue;
            bytes32 vote = _votes[id][round][place];
            openings[_turnOf(id, place) - 1] = Opening(place, vote, _evidence(vote), SALT);
        }
    }

    function _resultOf(JobView memory job, Opening[] memory openings) private pure returns (bytes32 result) {
        bytes32[] memory votes = new bytes32[](openings.length);
        for (uint256 i; i < votes.length; ++i) {
            votes[i] = openings[i].vote;
        }
        uint256 size = Committee.sizeOf(job.committee, job.round);
        (, result) = Votes.tally(votes, size / 2 + 1, job.lanes, job.demanded, job.missing);
    }

    /* ----------------------------------------------------------------------- outcomes */

    function _relayOutcome(bytes32 id, uint256 payout) internal {
        AgreedLane[] memory lanes = new AgreedLane[](LANES);
        for (uint8 lane; lane < LANES; ++lane) {
            (,, bytes32 word) = market.getLane(id, lane);
            uint256 share = bound(payout >> (64 * lane), 0, PRICE);
            lanes[lane] = AgreedLane(providers[lane], word == 0 ? WORD : word, 900_000, share);
        }
        bytes[] memory signatures = _signedByParties(_outcomeOf(id, type(uint64).max, lanes), LANES);
        _relay(id, abi.encodeCall(IMarketBack.agree, (_told(id), lanes, type(uint64).max, signatures)));
    }
}
